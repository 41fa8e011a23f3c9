"""Redis as a cache: nothing on disk, bounded memory."""

from deploy.local.options import StackOptions
from deploy.local.places import Places
from deploy.local.probes import RedisProbe
from deploy.local.process import ConfigFile, Directory, Group, Part, Process
from deploy.local.tools import Tools

# Its own process title would overwrite the environment by which `down` finds our processes.
_CONFIG = """\
bind 127.0.0.1
port {port}
daemonize no
set-proc-title no
dir "{data}"
save ""
appendonly no
maxmemory 64mb
maxmemory-policy allkeys-lru
"""


def redis(options: StackOptions, tools: Tools) -> Part:
    """The server and its configuration."""
    places, port = Places(options.home), options.ports["redis"]
    data, config = places.data / "redis", places.config / "redis.conf"
    process = Process(
        name="redis",
        command=(*tools.redis_command(), str(config)),
        group=Group.SERVERS,
        health=RedisProbe(port),
        ports={"redis": port},
        directory=data,
    )
    return Part((process,), (ConfigFile(config, _CONFIG.format(port=port, data=data)),), (Directory(data),))
