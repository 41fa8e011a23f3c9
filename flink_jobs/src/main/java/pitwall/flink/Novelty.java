package pitwall.flink;

import java.util.Arrays;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * Whether a reading is a repeat, by what came before it. SQL alone can't say that with state that doesn't grow: per boot
 * of the vehicle this keeps the highest sequence, and which of the few below it have come; and it keeps a few boots.
 * What comes later than that counts as a repeat, what comes from older boots as new.
 */
public final class Novelty extends AggregateFunction<Integer, Novelty.Seen> {
    /** It has come before. */
    public static final int REPEAT = 0;
    /** It is new, but others that were sampled after it have come before it. */
    public static final int LATE = 1;
    /** It is ahead of all others from its boot. */
    public static final int AHEAD = 2;

    private static final long serialVersionUID = 1;
    private static final int MOST_BOOTS = 8;

    /** A column for each boot, the latest to appear first. Boots and sequences are unsigned. */
    public static final class Seen {
        public long[] boots = {};
        public long[] highest = {};
        /** Bit n: (highest - n) has come. */
        public long[] recent = {};
        public int novelty;
    }

    @Override
    public Seen createAccumulator() {
        return new Seen();
    }

    public void accumulate(Seen seen, Long bootEpoch, Long sequence) {
        int boot = 0;
        while (boot < seen.boots.length && seen.boots[boot] != bootEpoch) {
            boot++;
        }
        if (boot == seen.boots.length) {
            seen.boots = withFirst(bootEpoch, seen.boots);
            seen.highest = withFirst(sequence, seen.highest);
            seen.recent = withFirst(1, seen.recent);
            seen.novelty = AHEAD;
        } else if (Long.compareUnsigned(sequence, seen.highest[boot]) > 0) {
            long ahead = sequence - seen.highest[boot];
            seen.recent = withChanged(boot, isWithin(ahead) ? seen.recent[boot] << ahead | 1 : 1, seen.recent);
            seen.highest = withChanged(boot, sequence, seen.highest);
            seen.novelty = AHEAD;
        } else {
            long behind = seen.highest[boot] - sequence;
            long bit = isWithin(behind) ? 1L << behind : 0;
            seen.novelty = bit != 0 && (seen.recent[boot] & bit) == 0 ? LATE : REPEAT;
            seen.recent = withChanged(boot, seen.recent[boot] | bit, seen.recent);
        }
    }

    private static boolean isWithin(long distance) {
        return Long.compareUnsigned(distance, Long.SIZE) < 0;
    }

    private static long[] withFirst(long first, long[] others) {
        var all = new long[Math.min(others.length + 1, MOST_BOOTS)];
        all[0] = first;
        System.arraycopy(others, 0, all, 1, all.length - 1);
        return all;
    }

    private static long[] withChanged(int index, long value, long[] values) {
        var changed = Arrays.copyOf(values, values.length);
        changed[index] = value;
        return changed;
    }

    @Override
    public Integer getValue(Seen seen) {
        return seen.novelty;
    }
}
