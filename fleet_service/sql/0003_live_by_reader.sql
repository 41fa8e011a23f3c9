-- Of each fleet service what it knew, as far as its own offsets say: in one row for all of them, one that is behind would
-- overwrite what another has read already and will not read again. '' is from before; it is merged like the others.

ALTER TABLE vehicle_live ADD COLUMN reader text NOT NULL DEFAULT '';
ALTER TABLE vehicle_live DROP CONSTRAINT vehicle_live_pkey;
ALTER TABLE vehicle_live ADD PRIMARY KEY (vehicle_id, reader);
