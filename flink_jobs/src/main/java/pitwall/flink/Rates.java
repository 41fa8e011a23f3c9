package pitwall.flink;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * By how much each quantity rises in a second, over the shortest time of at least a second that the readings before
 * allow. Unknown (null) where the value is, or where there is no reading from 1 to 5 s before.
 */
@FunctionHint(
        accumulator = @DataTypeHint(value = "RAW", bridgedTo = Samples.class, rawSerializer = Samples.Serializer.class),
        output = @DataTypeHint(value = "ARRAY<DOUBLE>", bridgedTo = ArrayData.class))
public final class Rates extends AggregateFunction<ArrayData, Samples> {
    private static final long serialVersionUID = 1;

    static final long SHORTEST_SPAN_NS = 1_000_000_000L;
    static final long LONGEST_SPAN_NS = 5_000_000_000L;
    /** What comes faster than this is thinned out, so that so many are enough. */
    static final long APART_NS = 100_000_000L;

    static final int MOST_SAMPLES = 12;

    private transient String text;
    private transient String[] names;

    @Override
    public Samples createAccumulator() {
        return new Samples();
    }

    /** `text`: the names of the quantities, separated by `;`, the same at every call. Null time: no reading. */
    public void accumulate(Samples samples, String text, Long eventNs, Double... values) {
        if (this.text != text && !text.equals(this.text)) {
            this.text = text;
            this.names = text.isEmpty() ? new String[0] : text.split(";");
        }
        if (samples.names != names) {
            samples.arrange(names);
        }
        samples.rates = new Object[names.length];
        if (eventNs != null) {
            for (int i = 0; i < names.length; i++) {
                samples.rates[i] = values[i] == null ? null : rate(samples.inOrder[i], eventNs, values[i]);
            }
        }
    }

    private static Double rate(Samples.Few few, long ns, double value) {
        if (few.count > 0 && ns < few.atNs[few.count - 1]) {
            few.count = 0; // the clock was set
        }
        int before = few.count - 1;
        while (before >= 0 && ns - few.atNs[before] < SHORTEST_SPAN_NS) {
            before--;
        }
        Double rate = null;
        if (before >= 0) {
            long spanNs = ns - few.atNs[before];
            rate = spanNs > LONGEST_SPAN_NS ? null : (value - few.values[before]) / (spanNs / 1e9);
            few.forget(before);
        }
        if (few.count == 0 || ns - few.atNs[few.count - 1] >= APART_NS) {
            few.add(ns, value);
        }
        return rate;
    }

    @Override
    public ArrayData getValue(Samples samples) {
        return new GenericArrayData(samples.rates);
    }
}
