-- What the command services have journaled about stops: messages of haul.command.v1, and of each pair the latest word
-- (1 sent, 2 held, 3 let go).

CREATE TABLE stops (
  stop_id text PRIMARY KEY,
  stop bytea NOT NULL
);

CREATE TABLE stop_releases (
  release_id text PRIMARY KEY,
  release bytea NOT NULL
);

CREATE TABLE stop_words (
  stop_id text NOT NULL,
  vehicle_id text NOT NULL,
  word integer NOT NULL,
  PRIMARY KEY (stop_id, vehicle_id)
);
