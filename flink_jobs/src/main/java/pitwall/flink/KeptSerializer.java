package pitwall.flink;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/**
 * Writes what an aggregate keeps in bytes of its own, by name and with a version. So Flink sees one type whatever rules
 * and quantities there are, and a savepoint that was taken with others can be read.
 */
abstract class KeptSerializer<T> extends TypeSerializerSingleton<T> {
    private static final long serialVersionUID = 1;
    private static final int VERSION = 1;

    abstract void write(T kept, DataOutputView target) throws IOException;

    abstract T read(DataInputView source) throws IOException;

    @Override
    public final void serialize(T kept, DataOutputView target) throws IOException {
        target.writeByte(VERSION);
        write(kept, target);
    }

    @Override
    public final T deserialize(DataInputView source) throws IOException {
        int version = source.readByte();
        if (version != VERSION) {
            throw new IOException("state of version " + version + "; this program reads version " + VERSION);
        }
        return read(source);
    }

    @Override
    public final T deserialize(T reuse, DataInputView source) throws IOException {
        return deserialize(source);
    }

    @Override
    public final void copy(DataInputView source, DataOutputView target) throws IOException {
        serialize(deserialize(source), target);
    }

    @Override
    public final T copy(T from, T reuse) {
        return copy(from);
    }

    @Override
    public final boolean isImmutableType() {
        return false;
    }

    @Override
    public final int getLength() {
        return -1;
    }
}
