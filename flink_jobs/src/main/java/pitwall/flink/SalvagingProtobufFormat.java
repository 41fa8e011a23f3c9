package pitwall.flink;

import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.formats.protobuf.PbFormatFactory;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.format.DecodingFormat;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.DeserializationFormatFactory;
import org.apache.flink.table.factories.DynamicTableFactory;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.RowType;

/**
 * Flink's protobuf format for reading, but no record fails the job or is skipped: what can't be decoded, or isn't sound
 * (see Soundness), becomes a row in which the column `undecodable` holds its bytes and the reason, and nothing else.
 * A record without a value is one of those too, unless `take-tombstones` is set: then it is a row of nothing.
 */
public final class SalvagingProtobufFormat implements DeserializationFormatFactory {
    private static final ConfigOption<List<String>> REQUIRED_FIELDS =
            ConfigOptions.key("required-fields").stringType().asList().noDefaultValue();
    private static final ConfigOption<String> TIME_FIELD =
            ConfigOptions.key("time-field").stringType().noDefaultValue();
    private static final ConfigOption<Boolean> TAKE_TOMBSTONES =
            ConfigOptions.key("take-tombstones").booleanType().defaultValue(false);

    private final PbFormatFactory protobuf = new PbFormatFactory();

    @Override
    public String factoryIdentifier() {
        return "salvaging-protobuf";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Stream.concat(protobuf.requiredOptions().stream(), Stream.of(REQUIRED_FIELDS))
                .collect(Collectors.toSet());
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of(TIME_FIELD, TAKE_TOMBSTONES);
    }

    @Override
    public DecodingFormat<DeserializationSchema<RowData>> createDecodingFormat(
            DynamicTableFactory.Context context, ReadableConfig options) {
        var inner = protobuf.createDecodingFormat(context, options);
        var required = options.get(REQUIRED_FIELDS);
        var time = options.get(TIME_FIELD);
        var takesTombstones = options.get(TAKE_TOMBSTONES);
        return new DecodingFormat<>() {
            @Override
            public DeserializationSchema<RowData> createRuntimeDecoder(
                    DynamicTableSource.Context source, DataType type) {
                var soundness = new Soundness((RowType) type.getLogicalType(), required, time);
                return new SalvagingSchema(inner.createRuntimeDecoder(source, type), soundness, takesTombstones);
            }

            @Override
            public ChangelogMode getChangelogMode() {
                return inner.getChangelogMode();
            }
        };
    }
}
