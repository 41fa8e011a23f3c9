"""The gateway between vehicles and the site: readings up into Kafka, stops and permits down."""
