package pitwall.flink;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;

/** What Registered keeps of a lane: what the registry said last of the vehicle. Null: unknown. */
public final class Entry {
    /** Something has been said. */
    boolean known;
    String model;
    Double ratedPayloadTons;
    Double maxPayloadTons;
    Double maxSpeedKph;
    String zoneName;
    /** Latitude and longitude of each corner in turn, degrees. Empty: the vehicle may be anywhere. */
    double[] zone = {};

    private RowData row;

    void become(
            String model,
            Double ratedPayloadTons,
            Double maxPayloadTons,
            Double maxSpeedKph,
            String zoneName,
            double[] zone) {
        this.known = true;
        this.model = model;
        this.ratedPayloadTons = ratedPayloadTons;
        this.maxPayloadTons = maxPayloadTons;
        this.maxSpeedKph = maxSpeedKph;
        this.zoneName = zoneName;
        this.zone = zone;
        this.row = null;
    }

    /** As Registered gives it; null while nothing has been said. */
    RowData row() {
        if (row == null && known) {
            row = GenericRowData.of(
                    StringData.fromString(model),
                    ratedPayloadTons,
                    maxPayloadTons,
                    maxSpeedKph,
                    StringData.fromString(zoneName),
                    new GenericArrayData(zone));
        }
        return row;
    }

    /** See KeptSerializer. */
    public static final class Serializer extends KeptSerializer<Entry> {
        private static final long serialVersionUID = 1;

        @Override
        public TypeSerializerSnapshot<Entry> snapshotConfiguration() {
            return new Snapshot();
        }

        @Override
        public Entry createInstance() {
            return new Entry();
        }

        @Override
        public Entry copy(Entry from) {
            var copy = new Entry();
            if (from.known) {
                copy.become(
                        from.model,
                        from.ratedPayloadTons,
                        from.maxPayloadTons,
                        from.maxSpeedKph,
                        from.zoneName,
                        from.zone);
            }
            return copy;
        }

        @Override
        void write(Entry kept, DataOutputView target) throws IOException {
            target.writeBoolean(kept.known);
            writeText(kept.model, target);
            writeNumber(kept.ratedPayloadTons, target);
            writeNumber(kept.maxPayloadTons, target);
            writeNumber(kept.maxSpeedKph, target);
            writeText(kept.zoneName, target);
            target.writeInt(kept.zone.length);
            for (double degrees : kept.zone) {
                target.writeDouble(degrees);
            }
        }

        @Override
        Entry read(DataInputView source) throws IOException {
            var read = new Entry();
            read.known = source.readBoolean();
            read.model = source.readBoolean() ? source.readUTF() : null;
            read.ratedPayloadTons = source.readBoolean() ? source.readDouble() : null;
            read.maxPayloadTons = source.readBoolean() ? source.readDouble() : null;
            read.maxSpeedKph = source.readBoolean() ? source.readDouble() : null;
            read.zoneName = source.readBoolean() ? source.readUTF() : null;
            read.zone = new double[source.readInt()];
            for (int i = 0; i < read.zone.length; i++) {
                read.zone[i] = source.readDouble();
            }
            return read;
        }

        private static void writeText(String text, DataOutputView target) throws IOException {
            target.writeBoolean(text != null);
            if (text != null) {
                target.writeUTF(text);
            }
        }

        private static void writeNumber(Double number, DataOutputView target) throws IOException {
            target.writeBoolean(number != null);
            if (number != null) {
                target.writeDouble(number);
            }
        }
    }

    /** For Flink, which makes it anew when it reads a savepoint. */
    public static final class Snapshot extends SimpleTypeSerializerSnapshot<Entry> {
        public Snapshot() {
            super(Serializer::new);
        }
    }
}
