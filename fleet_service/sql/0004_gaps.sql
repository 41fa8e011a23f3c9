-- Of each fleet service what it knows of readings that are missing, as far as its own offsets say (reader "NAME gaps").

CREATE TABLE reading_epochs (
  reader text NOT NULL,
  vehicle_id text NOT NULL,
  boot_epoch bigint NOT NULL,
  floor bigint NOT NULL,
  last bigint NOT NULL,
  first_ns bigint NOT NULL,
  last_ns bigint NOT NULL,
  heard_ns bigint NOT NULL,
  PRIMARY KEY (reader, vehicle_id, boot_epoch)
);

-- state: haul.fleet.v1.GapState; 0 stands for a time that is unknown.
CREATE TABLE reading_gaps (
  reader text NOT NULL,
  vehicle_id text NOT NULL,
  boot_epoch bigint NOT NULL,
  first bigint NOT NULL,
  last bigint NOT NULL,
  state integer NOT NULL,
  found_ns bigint NOT NULL,
  reason text NOT NULL,
  closed_ns bigint NOT NULL,
  after_ns bigint NOT NULL,
  before_ns bigint NOT NULL,
  approximate boolean NOT NULL,
  PRIMARY KEY (reader, vehicle_id, boot_epoch, first)
);

-- Readers that have begun where Kafka had deleted readings already, and have not read all that was there since.
CREATE TABLE truncated_readers (
  reader text PRIMARY KEY
);
