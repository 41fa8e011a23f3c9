import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Random;
import java.util.stream.Collectors;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.types.Row;
import pitwall.flink.Entry;
import pitwall.flink.Judge;
import pitwall.flink.MayBeOut;
import pitwall.flink.Patience;
import pitwall.flink.Rates;
import pitwall.flink.Registered;
import pitwall.flink.Samples;
import pitwall.flink.Verdicts;
import pitwall.flink.ZoneContains;

/**
 * Calls the stream jobs' functions as Flink does, a line of standard input each, and prints what they give. Now and then
 * what they keep goes through a checkpoint and back, or is copied for one.
 */
public final class StreamFunctions {
    private static final Random CHANCE = new Random(1);
    private static final Judge JUDGE = new Judge();
    private static final Rates RATES = new Rates();
    private static final Patience PATIENCE = new Patience();
    private static final Registered REGISTERED = new Registered();
    private static final ZoneContains ZONE_CONTAINS = new ZoneContains();
    private static final HashMap<String, Verdicts> VERDICTS = new HashMap<>();
    private static final HashMap<String, Samples> SAMPLES = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        var input = new BufferedReader(new InputStreamReader(System.in));
        for (var line = input.readLine(); line != null; line = input.readLine()) {
            var words = line.split("\\|", -1);
            switch (words[0]) {
                case "judge":
                    System.out.println(judge(words));
                    break;
                case "rate":
                    System.out.println(rate(words));
                    break;
                case "patience":
                    System.out.println(patience(words));
                    break;
                case "registered":
                    System.out.println(registered(words));
                    break;
                case "out":
                    System.out.println(out(words));
                    break;
                default:
                    System.out.println(contains(words));
            }
        }
    }

    /** judge|lane|rules|is reading|boot_epoch|sequence|event_ns|level,level… */
    private static String judge(String[] words) throws Exception {
        var serializer = new Verdicts.Serializer();
        var verdicts = kept(VERDICTS.getOrDefault(words[1], JUDGE.createAccumulator()), serializer);
        VERDICTS.put(words[1], verdicts);
        var levels = Arrays.stream(words[7].split(",")).map(StreamFunctions::level).toArray(Integer[]::new);
        JUDGE.accumulate(
                verdicts,
                words[2],
                Boolean.valueOf(words[3]),
                Long.valueOf(words[4]),
                Long.valueOf(words[5]),
                Long.valueOf(words[6]),
                levels);
        var steps = JUDGE.getValue(verdicts);
        return steps == null ? "" : Arrays.stream(steps).map(StreamFunctions::step).collect(Collectors.joining(";"));
    }

    private static Integer level(String word) {
        return word.equals("None") ? null : Integer.valueOf(word);
    }

    private static String step(Row row) {
        return row.getField(0) + "," + row.getField(1) + "," + row.getField(3) + "," + row.getField(4) + "," + row.getField(5);
    }

    /** rate|lane|event_ns|value */
    private static String rate(String[] words) throws Exception {
        var samples = kept(SAMPLES.getOrDefault(words[1], RATES.createAccumulator()), new Samples.Serializer());
        SAMPLES.put(words[1], samples);
        RATES.accumulate(samples, "speed_kph", Long.valueOf(words[2]), number(words[3]));
        var rates = RATES.getValue(samples);
        return rates.isNullAt(0) ? "None" : Double.toString(rates.getDouble(0));
    }

    /** patience|partition|event|written: both in ms from now. The time that it has come to, likewise, in seconds. */
    private static String patience(String[] words) {
        var nowMs = System.currentTimeMillis();
        var come = PATIENCE.eval(
                TimestampData.fromEpochMillis(nowMs + Long.parseLong(words[2])),
                TimestampData.fromEpochMillis(nowMs + Long.parseLong(words[3])),
                Integer.valueOf(words[1]),
                0L,
                0L);
        return Long.toString(Math.round((come.getMillisecond() - nowMs) / 1000.0));
    }

    /** registered|letters of the model. So many of them are kept. */
    private static String registered(String[] words) throws Exception {
        var told = Row.of("x".repeat(Integer.parseInt(words[1])), null, null, null, null);
        var entry = REGISTERED.createAccumulator();
        REGISTERED.accumulate(entry, told);
        var bytes = new DataOutputSerializer(64);
        new Entry.Serializer().serialize(entry, bytes);
        var read = new Entry.Serializer().deserialize(new DataInputDeserializer(bytes.getCopyOfBuffer()));
        return Integer.toString(REGISTERED.getValue(read).getString(0).toString().length());
    }

    /** contains|latitude,longitude,…|latitude|longitude */
    private static String contains(String[] words) {
        var zone = words[1].isEmpty() ? new double[0] : Arrays.stream(words[1].split(",")).mapToDouble(Double::parseDouble).toArray();
        return String.valueOf(ZONE_CONTAINS.eval(zone, number(words[2]), number(words[3])));
    }

    /** out|watermark|closes, both in ms since a task started that starts now */
    private static String out(String[] words) {
        var mayBeOut = new MayBeOut();
        var startsMs = System.currentTimeMillis();
        mayBeOut.open(null);
        return String.valueOf(mayBeOut.eval(time(startsMs, words[1]), time(startsMs, words[2])));
    }

    private static TimestampData time(long sinceMs, String word) {
        return word.equals("None") ? null : TimestampData.fromEpochMillis(sinceMs + Long.parseLong(word));
    }

    private static Double number(String word) {
        return word.equals("None") ? null : Double.valueOf(word);
    }

    private static <T> T kept(T state, TypeSerializer<T> serializer) throws Exception {
        if (CHANCE.nextInt(3) == 0) {
            return serializer.copy(state);
        }
        if (CHANCE.nextInt(3) > 0) {
            return state;
        }
        var bytes = new DataOutputSerializer(64);
        serializer.serialize(state, bytes);
        return serializer.deserialize(new DataInputDeserializer(bytes.getCopyOfBuffer()));
    }
}
