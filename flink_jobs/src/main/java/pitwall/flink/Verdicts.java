package pitwall.flink;

import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.types.Row;

/** What Judge keeps of a lane: a verdict for each rule by its name, so that it outlives a change of the rules. */
public final class Verdicts {
    final Map<String, Verdict> byRule = new HashMap<>();
    /** event_time of the latest reading, nanoseconds; NEVER before the first one. */
    long latestNs = NEVER;

    static final long NEVER = Long.MIN_VALUE;

    /** The same verdicts in the order of `rules`; not kept. */
    Verdict[] inOrder = {};
    Rules rules;
    /** Of the last observation alone; null: none. */
    Row[] steps;

    /** Those of rules that there no longer are leave, and are returned where they are open. */
    Map<String, Verdict> arrange(Rules rules) {
        var gone = new HashMap<>(byRule);
        inOrder = new Verdict[rules.names.length];
        for (int i = 0; i < inOrder.length; i++) {
            inOrder[i] = byRule.computeIfAbsent(rules.names[i], any -> new Verdict());
            gone.remove(rules.names[i]);
        }
        byRule.keySet().removeAll(gone.keySet());
        gone.values().removeIf(verdict -> !verdict.open);
        this.rules = rules;
        return gone;
    }

    /** See KeptSerializer. Verdicts at rest are left out. */
    public static final class Serializer extends KeptSerializer<Verdicts> {
        private static final long serialVersionUID = 1;

        @Override
        public TypeSerializerSnapshot<Verdicts> snapshotConfiguration() {
            return new Snapshot();
        }

        @Override
        public Verdicts createInstance() {
            return new Verdicts();
        }

        @Override
        public Verdicts copy(Verdicts from) {
            var copy = new Verdicts();
            copy.latestNs = from.latestNs;
            from.byRule.forEach((rule, verdict) -> {
                if (!verdict.atRest()) {
                    copy.byRule.put(rule, verdict.copied());
                }
            });
            return copy;
        }

        @Override
        void write(Verdicts kept, DataOutputView target) throws IOException {
            target.writeLong(kept.latestNs);
            target.writeInt((int) kept.byRule.values().stream().filter(verdict -> !verdict.atRest()).count());
            for (var each : kept.byRule.entrySet()) {
                if (!each.getValue().atRest()) {
                    target.writeUTF(each.getKey());
                    each.getValue().write(target);
                }
            }
        }

        @Override
        Verdicts read(DataInputView source) throws IOException {
            var read = new Verdicts();
            read.latestNs = source.readLong();
            for (int left = source.readInt(); left > 0; left--) {
                var rule = source.readUTF();
                read.byRule.put(rule, Verdict.read(source));
            }
            return read;
        }
    }

    /** For Flink, which makes it anew when it reads a savepoint. */
    public static final class Snapshot extends SimpleTypeSerializerSnapshot<Verdicts> {
        public Snapshot() {
            super(Serializer::new);
        }
    }
}
