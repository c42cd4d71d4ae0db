//! The server and its sessions: settings, activity, access methods, tablespaces, time zones.

use datafusion::error::Result;

use super::cells::{Cell, Rows, row};
use super::oid;
use super::relation_table::{Producer, Scope};
use super::roles;
use crate::calendar;

pub(crate) fn producer(name: &str) -> Option<Producer> {
    Some(match name {
        "pg_cursors" => pg_cursors,
        "pg_prepared_statements" => pg_prepared_statements,
        "pg_settings" => pg_settings,
        "pg_stat_activity" => pg_stat_activity,
        "pg_stat_database" => pg_stat_database,
        "pg_tablespace" => pg_tablespace,
        "pg_locks" => pg_locks,
        "pg_timezone_abbrevs" => pg_timezone_abbrevs,
        "pg_timezone_names" => pg_timezone_names,
        _ => return None,
    })
}

fn pg_tablespace(_: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    row!(rows, oid: 1663_u32, spcname: "pg_default", spcowner: oid::OWNER)?;
    row!(rows, oid: 1664_u32, spcname: "pg_global", spcowner: oid::OWNER)
}

fn pg_prepared_statements(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for held in scope.facts.prepared_statements(scope.options) {
        row!(
            rows,
            name: held.name,
            statement: held.text,
            prepare_time: Cell::Timestamp(held.prepared_at_us),
            parameter_types: held.parameters,
            from_sql: held.from_sql,
            generic_plans: 0_i64,
            custom_plans: 0_i64,
        )?;
    }
    Ok(())
}

fn pg_cursors(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for held in scope.facts.cursors(scope.options) {
        row!(
            rows,
            name: held.name,
            statement: held.text,
            is_holdable: held.hold,
            is_binary: held.binary,
            is_scrollable: held.scroll,
            creation_time: Cell::Timestamp(held.created_at_us),
        )?;
    }
    Ok(())
}

fn pg_settings(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for setting in scope.facts.settings(scope.options) {
        row!(
            rows,
            name: setting.name,
            setting: &setting.value,
            unit: setting.unit,
            category: setting.category,
            short_desc: setting.description,
            context: setting.context,
            vartype: setting.value_type,
            source: setting.source,
            enumvals: setting.values,
            boot_val: setting.default.as_ref(),
            reset_val: setting.default.as_ref(),
            pending_restart: false,
        )?;
    }
    Ok(())
}

fn pg_stat_activity(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let roles = roles::roles(scope.facts);
    let instant = |micros: Option<i64>| micros.map_or(Cell::Null, Cell::Timestamp);
    for mut session in scope.facts.activity() {
        // Of others one sees that they are there, not what they do.
        let own = &scope.session.user;
        if !scope.session.superuser && !scope.facts.has_role(own, &session.user, true) {
            "<insufficient privilege>".clone_into(&mut session.query);
            session.client = None;
            session.application_name.clear();
            session.state.clear();
        }
        let user = roles
            .iter()
            .find(|(_, role)| role.name == session.user)
            .map(|(oid, _)| *oid);
        row!(
            rows,
            datid: roles::database_oid(&session.database),
            datname: &session.database,
            pid: session.pid,
            usesysid: user,
            usename: session.user,
            application_name: session.application_name,
            client_addr: session.client.map(|client| client.ip().to_string()),
            client_port: session.client.map(|client| i32::from(client.port())),
            backend_start: instant(session.backend_started_at_us),
            query_start: instant(session.query_started_at_us),
            state_change: instant(session.state_changed_at_us),
            state: session.state,
            query: session.query,
            backend_type: "client backend",
        )?;
    }
    Ok(())
}

fn pg_stat_database(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let name = &scope.session.database;
    let sessions = scope.facts.activity().len();
    row!(
        rows,
        datid: roles::database_oid(name),
        datname: name,
        numbackends: i32::try_from(sessions).unwrap_or(i32::MAX),
    )
}

fn pg_timezone_names(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let now = scope.facts.transaction_started_us(scope.options);
    for (name, abbreviation, east, is_summer) in calendar::zones(now) {
        row!(
            rows,
            name: name,
            abbrev: abbreviation,
            utc_offset: Cell::Span(east),
            is_dst: is_summer,
        )?;
    }
    Ok(())
}

fn pg_timezone_abbrevs(_: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for (name, east, is_summer) in calendar::abbreviations() {
        row!(rows, abbrev: name, utc_offset: Cell::Span(east), is_dst: is_summer)?;
    }
    Ok(())
}

fn pg_locks(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for lock in scope.facts.advisory_locks() {
        row!(
            rows,
            locktype: "advisory",
            database: roles::database_oid(&scope.session.database),
            classid: lock.class,
            objid: lock.object,
            objsubid: if lock.is_pair { 2 } else { 1 },
            virtualtransaction: format!("{}/0", lock.pid),
            pid: lock.pid,
            mode: if lock.shared { "ShareLock" } else { "ExclusiveLock" },
            granted: lock.granted,
            fastpath: false,
        )?;
    }
    Ok(())
}
