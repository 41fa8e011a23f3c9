package pitwall.flink;

import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** What Rates keeps of a lane: the last few samples of each quantity by its name. */
public final class Samples {
    final Map<String, Few> byQuantity = new HashMap<>();
    /** Those of the quantities that are asked for, in that order; not kept. */
    Few[] inOrder = {};
    String[] names;
    /** The rates at the last reading; null: unknown. */
    Object[] rates = {};

    /** Samples of one quantity, the oldest first. */
    static final class Few {
        long[] atNs = new long[Rates.MOST_SAMPLES];
        double[] values = new double[Rates.MOST_SAMPLES];
        int count;

        void forget(int oldest) {
            count -= oldest;
            System.arraycopy(atNs, oldest, atNs, 0, count);
            System.arraycopy(values, oldest, values, 0, count);
        }

        void add(long ns, double value) {
            if (count == Rates.MOST_SAMPLES) {
                forget(1);
            }
            atNs[count] = ns;
            values[count++] = value;
        }

        Few copied() {
            var copy = new Few();
            copy.atNs = atNs.clone();
            copy.values = values.clone();
            copy.count = count;
            return copy;
        }
    }

    void arrange(String[] names) {
        byQuantity.keySet().retainAll(java.util.Set.of(names));
        inOrder = new Few[names.length];
        for (int i = 0; i < names.length; i++) {
            inOrder[i] = byQuantity.computeIfAbsent(names[i], any -> new Few());
        }
        this.names = names;
    }

    /** See KeptSerializer. */
    public static final class Serializer extends KeptSerializer<Samples> {
        private static final long serialVersionUID = 1;

        @Override
        public TypeSerializerSnapshot<Samples> snapshotConfiguration() {
            return new Snapshot();
        }

        @Override
        public Samples createInstance() {
            return new Samples();
        }

        @Override
        public Samples copy(Samples from) {
            var copy = new Samples();
            from.byQuantity.forEach((name, few) -> copy.byQuantity.put(name, few.copied()));
            return copy;
        }

        @Override
        void write(Samples kept, DataOutputView target) throws IOException {
            target.writeInt(kept.byQuantity.size());
            for (var each : kept.byQuantity.entrySet()) {
                var few = each.getValue();
                target.writeUTF(each.getKey());
                target.writeInt(few.count);
                for (int i = 0; i < few.count; i++) {
                    target.writeLong(few.atNs[i]);
                    target.writeDouble(few.values[i]);
                }
            }
        }

        @Override
        Samples read(DataInputView source) throws IOException {
            var read = new Samples();
            for (int left = source.readInt(); left > 0; left--) {
                var few = new Few();
                read.byQuantity.put(source.readUTF(), few);
                for (int count = source.readInt(); count > 0; count--) {
                    few.add(source.readLong(), source.readDouble());
                }
            }
            return read;
        }
    }

    /** For Flink, which makes it anew when it reads a savepoint. */
    public static final class Snapshot extends SimpleTypeSerializerSnapshot<Samples> {
        public Snapshot() {
            super(Serializer::new);
        }
    }
}
