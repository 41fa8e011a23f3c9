package pitwall.flink;

import java.util.Arrays;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.functions.AggregateFunction;
import org.apache.flink.types.Row;

/**
 * The steps of a vehicle's alerts, by the levels of its rules at each observation: 2 past where a rule escalates, 1 past
 * where it raises, 0 back past where it clears, -1 in between, null where that is unknown. The result is null where
 * nothing changes, as nearly always.
 *
 * <p>A rule with a hold time raises once the level has been 1 or 2 for so long by event_time, reading after reading.
 * What is unknown neither ends that nor counts for it; a silence that is longer than the longest ends it. An alert
 * escalates once at most.
 */
@FunctionHint(
        accumulator = @DataTypeHint(value = "RAW", bridgedTo = Verdicts.class, rawSerializer = Verdicts.Serializer.class),
        output =
                @DataTypeHint("ARRAY<ROW<rule STRING, state STRING, escalated BOOLEAN, boot_epoch BIGINT, `sequence` BIGINT, "
                        + "ns BIGINT>>"))
public final class Judge extends AggregateFunction<Row[], Verdicts> {
    private static final long serialVersionUID = 1;
    private static final Row[] NONE = {};

    private transient Rules rules;

    @Override
    public Verdicts createAccumulator() {
        return new Verdicts();
    }

    /**
     * `text`: see Rules, the same at every call. `isReading`: the observation is one and moves time on; others, as news
     * of the link, have levels of their own and leave those of readings alone. Null: the registry has forgotten the vehicle,
     * and so does this; whoever shows its alerts closes them by the same news.
     */
    public void accumulate(
            Verdicts verdicts,
            String text,
            Boolean isReading,
            Long bootEpoch,
            Long sequence,
            Long eventNs,
            Integer... levels) {
        verdicts.steps = null;
        arrange(verdicts, text);
        if (isReading == null) {
            for (var verdict : verdicts.inOrder) {
                verdict.forget();
            }
            return;
        }
        long sinceLastNs = 0;
        if (isReading) {
            sinceLastNs = verdicts.latestNs == Verdicts.NEVER ? 0 : Math.max(eventNs - verdicts.latestNs, 0);
            verdicts.latestNs = eventNs;
        }
        boolean afterSilence = sinceLastNs > rules.longestSilenceNs;
        for (int i = 0; i < levels.length; i++) {
            var verdict = verdicts.inOrder[i];
            if (afterSilence) {
                verdict.silence();
            }
            if (levels[i] != null) {
                judge(verdicts, i, levels[i], bootEpoch, sequence, eventNs, sinceLastNs);
            } else if (isReading) {
                verdict.unknown();
            }
        }
    }

    private void arrange(Verdicts verdicts, String text) {
        if (rules == null || (rules.text != text && !rules.text.equals(text))) {
            rules = new Rules(text);
        }
        if (verdicts.rules != rules) {
            verdicts.arrange(rules).forEach((rule, verdict) -> add(verdicts, rule, "CLEARED", verdict));
        }
    }

    private void judge(
            Verdicts verdicts, int i, int level, long bootEpoch, long sequence, long eventNs, long sinceLastNs) {
        var verdict = verdicts.inOrder[i];
        if (level < 1) {
            verdict.within();
            if (level == 0 && verdict.open) {
                verdict.clear();
                add(verdicts, rules.names[i], "CLEARED", verdict);
            }
            return;
        }
        if (verdict.beyond(sinceLastNs, rules.holdNs[i]) && !verdict.open) {
            verdict.raise(bootEpoch, sequence, eventNs);
            add(verdicts, rules.names[i], "RAISED", verdict);
        }
        if (level == 2 && verdict.open && !verdict.escalated) {
            verdict.escalated = true;
            add(verdicts, rules.names[i], "ESCALATED", verdict);
        }
    }

    private static void add(Verdicts verdicts, String rule, String state, Verdict verdict) {
        var step = Row.of(
                rule,
                "ALERT_STATE_" + state,
                verdict.escalated,
                verdict.bootEpoch,
                verdict.sequence,
                verdict.eventNs);
        var before = verdicts.steps == null ? NONE : verdicts.steps;
        verdicts.steps = Arrays.copyOf(before, before.length + 1);
        verdicts.steps[before.length] = step;
    }

    @Override
    public Row[] getValue(Verdicts verdicts) {
        return verdicts.steps;
    }
}
