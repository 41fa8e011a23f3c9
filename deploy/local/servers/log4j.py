"""Logging of the servers that run in a JVM."""

from collections.abc import Mapping

_CONSOLE = """\
status=warn
rootLogger.level=info
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %-5p %c{1}: %m%n
"""


def console_logging(levels: Mapping[str, str] | None = None) -> str:
    """Log4j 2 properties: all to standard output, where the supervisor takes and rotates it. levels: by logger name."""
    lines = [
        f"logger.l{i}.name={name}\nlogger.l{i}.level={level}\n"
        for i, (name, level) in enumerate((levels or {}).items())
    ]
    return _CONSOLE + "".join(lines)
