//! Settings of PostgreSQL that clients read and nobody can set here: what the server is built with, and what
//! it has no use for.

use super::settings::{Kind, Setting};

const fn fixed(name: &'static str, value: &'static str) -> Setting {
    Setting {
        name,
        kind: Kind::ReadOnly,
        default: value,
        description: "Shown for compatibility; it is fixed.",
        reported: false,
    }
}

/// The settings, by name.
pub(super) const FIXED: &[Setting] = &[
    fixed("allow_in_place_tablespaces", "off"),
    fixed("allow_system_table_mods", "off"),
    fixed("archive_mode", "off"),
    fixed("archive_timeout", "0"),
    fixed("array_nulls", "on"),
    fixed("authentication_timeout", "60"),
    fixed("autovacuum", "off"),
    fixed("block_size", "8192"),
    fixed("cluster_name", ""),
    fixed("config_file", ""),
    fixed("constraint_exclusion", "partition"),
    fixed("cpu_index_tuple_cost", "0.005"),
    fixed("cpu_operator_cost", "0.0025"),
    fixed("cpu_tuple_cost", "0.01"),
    fixed("cron.timezone", "GMT"),
    fixed("data_checksums", "off"),
    fixed("data_directory", ""),
    fixed("data_directory_mode", "0700"),
    fixed("deadlock_timeout", "1000"),
    fixed("debug_assertions", "off"),
    fixed("default_statistics_target", "100"),
    fixed("default_toast_compression", "pglz"),
    fixed("dynamic_shared_memory_type", "posix"),
    fixed("effective_cache_size", "524288"),
    fixed("event_source", "PostgreSQL"),
    fixed("external_pid_file", ""),
    fixed("fsync", "on"),
    fixed("full_page_writes", "on"),
    fixed("hba_file", ""),
    fixed("hot_standby", "off"),
    fixed("huge_pages", "off"),
    fixed("ident_file", ""),
    fixed("listen_addresses", ""),
    fixed("lo_compat_privileges", "off"),
    fixed("log_destination", "stderr"),
    fixed("log_min_duration_statement", "-1"),
    fixed("log_statement", "none"),
    fixed("log_timezone", "UTC"),
    fixed("logging_collector", "off"),
    fixed("maintenance_work_mem", "65536"),
    fixed("max_connections", "2000"),
    fixed("max_files_per_process", "1000"),
    fixed("max_function_args", "100"),
    fixed("max_locks_per_transaction", "64"),
    fixed("max_logical_replication_workers", "0"),
    fixed("max_parallel_workers", "8"),
    fixed("max_parallel_workers_per_gather", "2"),
    fixed("max_prepared_transactions", "0"),
    fixed("max_replication_slots", "0"),
    fixed("max_stack_depth", "2048"),
    fixed("max_wal_senders", "0"),
    fixed("max_worker_processes", "8"),
    fixed("password_encryption", "scram-sha-256"),
    fixed("port", ""),
    fixed("primary_conninfo", ""),
    fixed("primary_slot_name", ""),
    fixed("restart_after_crash", "on"),
    fixed("segment_size", "131072"),
    fixed("seq_page_cost", "1"),
    fixed("shared_buffers", "16384"),
    fixed("shared_memory_type", "mmap"),
    fixed("shared_preload_libraries", ""),
    fixed("ssl_library", ""),
    fixed("superuser_reserved_connections", "0"),
    fixed("synchronous_commit", "on"),
    fixed("synchronous_standby_names", ""),
    fixed("temp_tablespaces", ""),
    fixed("timezone_abbreviations", "Default"),
    fixed("track_activities", "on"),
    fixed("track_activity_query_size", "1024"),
    fixed("track_counts", "on"),
    fixed("track_functions", "none"),
    fixed("track_io_timing", "off"),
    fixed("transform_null_equals", "off"),
    fixed("unix_socket_directories", ""),
    fixed("wal_block_size", "8192"),
    fixed("wal_level", "minimal"),
    fixed("wal_segment_size", "16777216"),
];

/// Units of numbers among them.
const UNITS: &[(&str, &str)] = &[
    ("archive_timeout", "s"),
    ("authentication_timeout", "s"),
    ("deadlock_timeout", "ms"),
    ("effective_cache_size", "8kB"),
    ("log_min_duration_statement", "ms"),
    ("maintenance_work_mem", "kB"),
    ("max_stack_depth", "kB"),
    ("segment_size", "8kB"),
    ("shared_buffers", "8kB"),
    ("track_activity_query_size", "B"),
    ("wal_segment_size", "B"),
];

/// The unit in which a setting counts.
pub(super) fn unit(name: &str) -> Option<&'static str> {
    UNITS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, unit)| *unit)
}

/// The type that pg_settings tells of a fixed value.
pub(super) fn value_type(value: &str) -> &'static str {
    match value {
        "on" | "off" => "bool",
        number if number.parse::<i64>().is_ok() => "integer",
        number if number.parse::<f64>().is_ok() => "real",
        _ => "string",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::settings::{SETTINGS, lookup};

    #[test]
    fn no_setting_is_there_twice() {
        for setting in FIXED {
            let same = |known: &&Setting| known.name.eq_ignore_ascii_case(setting.name);
            assert!(SETTINGS.iter().find(same).is_none(), "{}", setting.name);
            assert!(lookup(setting.name).is_some(), "{}", setting.name);
        }
        assert_eq!(unit("shared_buffers"), Some("8kB"));
        assert_eq!(value_type("0.01"), "real");
    }
}
