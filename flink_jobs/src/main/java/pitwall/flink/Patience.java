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
 * <p>Where readings are written when they are sampled, one that is written long afterwards says nothing of how far time
 * has come; that it is written does. So a vehicle that brings history alone holds nobody back, nor does its partition.
 *
 * <p>The state lives as long as the task. A task that starts finds a gap, or none, by its first reading.
 */
public final class Patience extends ScalarFunction {
    private static final long serialVersionUID = 1;
    /** Readings that are older than this, as a recording's, come after no gap. It bounds the windows that are open. */
    static final long LONGEST_GAP_MS = 600_000;
    /** For so long after a reading that was written in time others are expected to be, in whatever partition. */
    static final long PUNCTUAL_FOR_MS = 60_000;

    /** Of all partitions that this process reads for the job: each has a Patience, and the job a class, of its own. */
    private static volatile long punctualUntilMs = 0;

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

    /** `writtenAt`: of the record. `outOfOrderness`: always. `patience`: after the end of a gap. Both in ms. */
    public @DataTypeHint(value = "TIMESTAMP_LTZ(3)", bridgedTo = TimestampData.class) TimestampData eval(
            @DataTypeHint(value = "TIMESTAMP_LTZ(3)", bridgedTo = TimestampData.class) TimestampData eventAt,
            @DataTypeHint(value = "TIMESTAMP_LTZ(3)", bridgedTo = TimestampData.class) TimestampData writtenAt,
            Integer partition,
            Long outOfOrderness,
            Long patience) {
        var nowMs = System.currentTimeMillis();
        // Whoever writes by a clock that is ahead says no more than that it is now.
        var timeMs = Math.min(nowMs, timeToldBy(eventAt.getMillisecond(), writtenAt.getMillisecond(), nowMs));
        var partitionNow = partitions.computeIfAbsent(partition, any -> new Partition(timeMs));
        return TimestampData.fromEpochMillis(partitionNow.advanced(timeMs, outOfOrderness, patience, nowMs));
    }

    private static long timeToldBy(long eventMs, long writtenMs, long nowMs) {
        if (writtenMs - eventMs <= LONGEST_GAP_MS) {
            punctualUntilMs = nowMs + PUNCTUAL_FOR_MS;
            return eventMs;
        }
        return nowMs <= punctualUntilMs ? writtenMs : eventMs;
    }
}
