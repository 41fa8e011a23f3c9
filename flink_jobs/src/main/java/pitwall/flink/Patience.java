package pitwall.flink;

import java.util.HashMap;
import java.util.Map;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * How far time has come in a partition: some seconds behind its latest reading. After a gap, as when Kafka was away, it
 * stays behind by the length of the gap as well, until all who write have had the time to bring what they held back.
 * Each brings its own in order, but one may be done before another begins; to the second one's readings time would have
 * gone on without them.
 *
 * <p>The state lives as long as the task. A task that starts finds a gap, or none, by its first reading.
 */
public final class Patience extends ScalarFunction {
    private static final long serialVersionUID = 1;
    /** Readings that are older than this, as a recording's, come after no gap. It bounds the windows that are open. */
    static final long LONGEST_GAP_MS = 600_000;

    private static final class Partition {
        private long latestMs;
        private long gapMs = 0;
        private long patientUntilMs = 0;

        Partition(long firstMs) {
            latestMs = firstMs;
        }

        long advanced(long eventMs, long outOfOrdernessMs, long patienceMs, long nowMs) {
            if (nowMs >= patientUntilMs) {
                gapMs = 0;
            }
            long behindMs = nowMs - latestMs;
            if (behindMs > outOfOrdernessMs && behindMs <= LONGEST_GAP_MS) {
                gapMs = Math.max(gapMs, behindMs);
                patientUntilMs = nowMs + patienceMs;
            }
            latestMs = Math.max(latestMs, eventMs);
            return latestMs - gapMs - outOfOrdernessMs;
        }
    }

    private final Map<Integer, Partition> partitions = new HashMap<>();

    /** `outOfOrderness`: always. `patience`: after the end of a gap. Both in ms. */
    public @DataTypeHint(value = "TIMESTAMP_LTZ(3)", bridgedTo = TimestampData.class) TimestampData eval(
            @DataTypeHint(value = "TIMESTAMP_LTZ(3)", bridgedTo = TimestampData.class) TimestampData eventAt,
            Integer partition,
            Long outOfOrderness,
            Long patience) {
        var partitionNow = partitions.computeIfAbsent(partition, any -> new Partition(eventAt.getMillisecond()));
        var nowMs = System.currentTimeMillis();
        return TimestampData.fromEpochMillis(
                partitionNow.advanced(eventAt.getMillisecond(), outOfOrderness, patience, nowMs));
    }
}
