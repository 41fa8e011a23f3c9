package pitwall.flink;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.functions.AggregateFunction;
import org.apache.flink.types.Row;

/** What the registry said last of a vehicle, carried on to its readings; null before it has said anything. */
@FunctionHint(
        accumulator = @DataTypeHint(value = "RAW", bridgedTo = Entry.class, rawSerializer = Entry.Serializer.class),
        output =
                @DataTypeHint(
                        value = "ROW<model STRING, rated_payload_tons DOUBLE, max_payload_tons DOUBLE, "
                                + "max_speed_kph DOUBLE, zone_name STRING, `zone` ARRAY<DOUBLE NOT NULL>>",
                        bridgedTo = RowData.class))
public final class Registered extends AggregateFunction<RowData, Entry> {
    private static final long serialVersionUID = 1;
    private static final double[] EVERYWHERE = {};
    /** Characters of a text that is kept; the fleet service lets none of such length through. */
    private static final int MOST_CHARACTERS = 1_000;

    @Override
    public Entry createAccumulator() {
        return new Entry();
    }

    /** `told`: what the registry says now; null: nothing. */
    public void accumulate(
            Entry entry,
            @DataTypeHint(
                            "ROW<model STRING, rated_payload_tons DOUBLE, max_payload_tons DOUBLE, max_speed_kph DOUBLE, "
                                    + "`zone` ROW<name STRING, corners ARRAY<ROW<latitude_degrees DOUBLE, "
                                    + "longitude_degrees DOUBLE>>>>")
                    Row told) {
        if (told != null) {
            var zone = (Row) told.getField(4);
            entry.become(
                    text(told.getField(0)),
                    (Double) told.getField(1),
                    (Double) told.getField(2),
                    (Double) told.getField(3),
                    zone == null ? null : text(zone.getField(0)),
                    zone == null ? EVERYWHERE : flat((Row[]) zone.getField(1)));
        }
    }

    private static String text(Object told) {
        var text = (String) told;
        return text == null || text.length() <= MOST_CHARACTERS ? text : text.substring(0, MOST_CHARACTERS);
    }

    /** A degree that is 0 is absent from the record. */
    private static double[] flat(Row[] corners) {
        var flat = new double[corners == null ? 0 : 2 * corners.length];
        for (int i = 0; i < flat.length; i++) {
            var degrees = (Double) corners[i / 2].getField(i % 2);
            flat[i] = degrees == null ? 0 : degrees;
        }
        return flat;
    }

    @Override
    public RowData getValue(Entry entry) {
        return entry.row();
    }
}
