package pitwall.flink;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * Whether the window that closes then may be out, so that what comes now is too late for it.
 *
 * <p>Windows know how far time had come before a restart: that is in their state. A task that starts doesn't, and time
 * comes to it anew from readings. The first may be LONGEST_GAP_MS old, and Patience then has time stay behind it by as
 * much again. So what closed within LONGEST_BEHIND_MS before the start counts as out from the start on.
 */
public final class MayBeOut extends ScalarFunction {
    private static final long serialVersionUID = 1;
    /** Older first readings come after no gap, as Patience has it. The minute is for what it has them out of order. */
    static final long LONGEST_BEHIND_MS = 2 * Patience.LONGEST_GAP_MS + 60_000;

    private transient long startedMs;

    @Override
    public void open(FunctionContext context) {
        startedMs = System.currentTimeMillis();
    }

    /** It goes by when the task has started. */
    @Override
    public boolean isDeterministic() {
        return false;
    }

    /** `watermark`: how far time has come; null: nobody knows yet. */
    public Boolean eval(
            @DataTypeHint(value = "TIMESTAMP_LTZ(3)", bridgedTo = TimestampData.class) TimestampData watermark,
            @DataTypeHint(value = "TIMESTAMP_LTZ(3)", bridgedTo = TimestampData.class) TimestampData closes) {
        if (watermark == null) {
            return true;
        }
        var beforeStartMs = startedMs - closes.getMillisecond();
        return watermark.getMillisecond() >= closes.getMillisecond()
                || (beforeStartMs >= 0 && beforeStartMs <= LONGEST_BEHIND_MS);
    }
}
