-- Times of records are nanoseconds since 1970, as the contract has them; an absent figure is NULL, never zero.

CREATE TABLE vehicles (
  vehicle_id text PRIMARY KEY,
  model text NOT NULL,
  manufacturer text NOT NULL,
  rated_payload_tons double precision,
  max_payload_tons double precision,
  max_speed_kph double precision,
  autonomous_mode boolean NOT NULL,
  assigned_route text NOT NULL,
  destination text NOT NULL,
  safety_envelope bytea,
  revision bigint NOT NULL,
  request_id text NOT NULL,
  create_time timestamptz NOT NULL,
  update_time timestamptz NOT NULL,
  delete_time timestamptz
);

-- The last state of each vehicle, so that one that is away is still known after a restart.
CREATE TABLE vehicle_live (
  vehicle_id text PRIMARY KEY,
  state text NOT NULL
);

CREATE TABLE alerts (
  alert_id text PRIMARY KEY,
  vehicle_id text NOT NULL,
  rule text NOT NULL,
  severity integer NOT NULL,
  state integer NOT NULL,
  message text NOT NULL,
  value double precision,
  threshold double precision,
  boot_epoch bigint NOT NULL,
  sequence bigint NOT NULL,
  raised_ns bigint NOT NULL,
  event_ns bigint NOT NULL,
  backfilled boolean NOT NULL,
  acknowledged_by text NOT NULL DEFAULT '',
  acknowledged_time timestamptz,
  note text NOT NULL DEFAULT ''
);
CREATE INDEX alerts_newest ON alerts (raised_ns DESC, alert_id DESC);
CREATE INDEX alerts_open ON alerts (alert_id) WHERE state <> 3;

CREATE TABLE vehicle_metrics (
  vehicle_id text NOT NULL,
  window_start_ns bigint NOT NULL,
  window_length_ms bigint NOT NULL,
  revision bigint NOT NULL,
  reading_count bigint NOT NULL,
  missing_count bigint,
  speed_kph_avg double precision,
  speed_kph_max double precision,
  speed_kph_min double precision,
  fuel_level_percent_avg double precision,
  battery_level_percent_avg double precision,
  engine_temperature_celsius_avg double precision,
  engine_temperature_celsius_max double precision,
  payload_tons_avg double precision,
  payload_tons_max double precision,
  PRIMARY KEY (vehicle_id, window_start_ns, window_length_ms, revision)
);

-- Where each reader goes on. Written in the transaction that writes what was read.
CREATE TABLE read_offsets (
  reader text NOT NULL,
  topic text NOT NULL,
  partition integer NOT NULL,
  next_offset bigint NOT NULL,
  PRIMARY KEY (reader, topic, partition)
);
