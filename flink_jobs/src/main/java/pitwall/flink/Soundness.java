package pitwall.flink;

import java.io.Serializable;
import java.util.List;
import java.util.stream.IntStream;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.LogicalTypeFamily;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.RowType;

/**
 * What SQL takes for granted: required fields are there, not empty and not too long, numbers are finite, times fit into
 * nanoseconds since 1970.
 */
final class Soundness implements Serializable {
    private static final long serialVersionUID = 1;
    private static final int NONE = -1;
    /**
     * Of a required text. What is written has it up to four times, as key, header and id; four that a broker doesn't take
     * end the job again and again. The gateways let 63 characters through.
     */
    private static final int MOST_CHARACTERS = 1_000;
    private static final long LAST_SECOND = Long.MAX_VALUE / 1_000_000_000 - 1;

    private final String[] columns;
    private final int[] required;
    private final boolean[] isText;
    private final int[] numbers;
    private final int time;

    /** `time` names the column of a Timestamp, null: none. It and `required` are columns of `type`. */
    Soundness(RowType type, List<String> required, String time) {
        var names = type.getFieldNames();
        if (!names.containsAll(required) || (time != null && !required.contains(time))) {
            throw new IllegalArgumentException(required + ", with " + time + ", must be columns: " + names);
        }
        this.columns = names.toArray(String[]::new);
        this.required = required.stream().mapToInt(names::indexOf).toArray();
        this.isText = new boolean[columns.length];
        for (int column = 0; column < columns.length; column++) {
            isText[column] = type.getTypeAt(column).is(LogicalTypeFamily.CHARACTER_STRING);
        }
        this.numbers = IntStream.range(0, columns.length)
                .filter(column -> type.getTypeAt(column).is(LogicalTypeRoot.DOUBLE))
                .toArray();
        this.time = time == null ? NONE : names.indexOf(time);
    }

    /** The first required field that is absent, or says nothing; null where none is. The empty vehicle is the fleet. */
    String missing(RowData row) {
        for (int column : required) {
            if (row.isNullAt(column) || isText[column] && row.getString(column).toString().isEmpty()) {
                return columns[column];
            }
        }
        return null;
    }

    /** The first field whose value nothing can be done with; null where there is none. */
    String impossible(RowData row) {
        for (int column : required) {
            if (isText[column] && row.getString(column).toString().length() > MOST_CHARACTERS) {
                return columns[column];
            }
        }
        for (int column : numbers) {
            if (!row.isNullAt(column) && !Double.isFinite(row.getDouble(column))) {
                return columns[column];
            }
        }
        if (time == NONE) {
            return null;
        }
        var at = row.getRow(time, 2);
        long seconds = at.isNullAt(0) ? 0 : at.getLong(0);
        int nanos = at.isNullAt(1) ? 0 : at.getInt(1);
        return seconds < 0 || seconds > LAST_SECOND || nanos < 0 || nanos > 999_999_999 ? columns[time] : null;
    }
}
