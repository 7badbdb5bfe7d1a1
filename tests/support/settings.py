"""Every setting with a sample value, for the tests of the configuration."""

from ferrite_py.config import CATALOGUE, MemoryBound, OutputLimit, OutputLimits

SAMPLES: dict[str, tuple[str, object]] = {
    "server.bind": ("10.0.0.1 -::1", ("10.0.0.1", "-::1")),
    "server.port": ("7000", 7000),
    "server.unix_socket": ("/tmp/s", "/tmp/s"),
    "server.unix_socket_permissions": ("750", 0o750),
    "server.transport": ("streams", "streams"),
    "server.io_threads": ("4", 4),
    "server.max_connections": ("99", 99),
    "server.tcp_backlog": ("64", 64),
    "server.tcp_keepalive": ("2m", 120),
    "server.timeout": ("1h", 3600),
    "server.shutdown_timeout": ("5000ms", 5),
    "server.protected_mode": ("no", False),
    "server.requirepass": ("pass word", "pass word"),
    "server.proto_max_bulk_len": ("1gb", 1 << 30),
    "server.client_query_buffer_limit": ("2mb", 2 << 20),
    "server.client_output_buffer_limit": (
        "pubsub 1mb 2k 3",
        OutputLimits(pubsub=OutputLimit(1 << 20, 2000, 3)),
    ),
    "server.max_memory_clients": ("5%", MemoryBound(5, is_percent=True)),
    "server.hz": ("100", 100),
    "server.slowlog_log_slower_than": ("1ms", 1000),
    "server.slowlog_max_len": ("7", 7),
    "server.latency_tracking": ("no", False),
    "server.latency_tracking_info_percentiles": ("25, 99.5", (25.0, 99.5)),
    "server.latency_monitor_threshold": ("1s", 1000),
    "server.enable_debug_command": ("yes", True),
    "storage.databases": ("2", 2),
    "storage.max_memory": ("64mb", 64 << 20),
    "storage.eviction_policy": ("allkeys-lru", "allkeys-lru"),
    "storage.maxmemory_samples": ("9", 9),
    "storage.lfu_log_factor": ("0", 0),
    "storage.lfu_decay_time": ("2h", 120),
    "storage.hll_sparse_max_bytes": ("4kb", 4096),
    "storage.segment_size": ("64kb", 64 << 10),
    "storage.active_expire_effort": ("10", 10),
    "storage.lazyfree_lazy_user_flush": ("yes", True),
    "logging.level": ("debug", "debug"),
    "logging.format": ("json", "json"),
    "logging.file": ("x.log", "x.log"),
    "tls.port": ("7001", 7001),
    "tls.cert_file": ("c.pem", "c.pem"),
    "tls.key_file": ("k.pem", "k.pem"),
    "tls.ca_file": ("ca.pem", "ca.pem"),
    "tls.client_auth": ("optional", "optional"),
}
"""For each setting a text that is valid and not its default, and the value that it stands for."""

ALL = CATALOGUE.settings
NAMES = [setting.name for setting in ALL]
