package pitwall.flink;

/** The rules that Judge goes by, in the order of their levels. */
final class Rules {
    /** What they were made from. */
    final String text;
    final String[] names;
    final long[] holdNs;
    final long longestSilenceNs;

    /** `text`: the longest silence in ms, then NAME=hold in ms for each rule, all separated by `;`. */
    Rules(String text) {
        var parts = text.split(";");
        this.text = text;
        longestSilenceNs = Long.parseLong(parts[0]) * 1_000_000;
        names = new String[parts.length - 1];
        holdNs = new long[names.length];
        for (int i = 0; i < names.length; i++) {
            int equals = parts[i + 1].indexOf('=');
            names[i] = parts[i + 1].substring(0, equals);
            holdNs[i] = Long.parseLong(parts[i + 1].substring(equals + 1)) * 1_000_000;
        }
    }
}
