//! The relations of information_schema.

use datafusion::error::Result;

use super::cells::{Cell, Rows, row};
use super::facts::Securable;
use super::pg_type::{self, PgType, TypeLimits};
use super::procs::{self, FunctionKind};
use super::relation_table::{Producer, Scope};
use super::roles;
use super::snapshot::{Attribute, Relation};

pub(crate) fn producer(name: &str) -> Option<Producer> {
    Some(match name {
        "applicable_roles" => applicable_roles,
        "character_sets" => character_sets,
        "columns" => columns,
        "enabled_roles" => enabled_roles,
        "information_schema_catalog_name" => catalog_name,
        "parameters" => parameters,
        "role_table_grants" | "table_privileges" => table_privileges,
        "routines" => routines,
        "schemata" => schemata,
        "tables" => tables,
        "views" => views,
        other => return super::standard_keys::producer(other),
    })
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "YES" } else { "NO" }
}

fn catalog_name(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    row!(rows, catalog_name: &scope.session.database)
}

fn schemata(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let owner = scope.facts.owner();
    for namespace in scope.snapshot.namespaces() {
        row!(
            rows,
            catalog_name: &scope.session.database,
            schema_name: &namespace.name,
            schema_owner: &owner,
        )?;
    }
    Ok(())
}

/// What the standard calls a table: neither indexes nor materialized views, of which it does not know.
pub(crate) fn tables_and_views<'a>(scope: &'a Scope<'_>) -> impl Iterator<Item = &'a Relation> {
    let relations = scope.snapshot.relations().iter();
    relations.filter(|relation| !matches!(relation.kind, 'i' | 'm' | 'S'))
}

fn tables(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for relation in tables_and_views(scope) {
        row!(
            rows,
            table_catalog: &scope.session.database,
            table_schema: &relation.schema,
            table_name: &relation.name,
            table_type: match relation.kind {
                'v' => "VIEW",
                _ if relation.temporary => "LOCAL TEMPORARY",
                _ => "BASE TABLE",
            },
            is_insertable_into: "NO",
            is_typed: "NO",
        )?;
    }
    Ok(())
}

fn views(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for relation in scope
        .snapshot
        .relations()
        .iter()
        .filter(|relation| relation.kind == 'v')
    {
        row!(
            rows,
            table_catalog: &scope.session.database,
            table_schema: &relation.schema,
            table_name: &relation.name,
            view_definition: relation.definition.as_ref(),
            check_option: "NONE",
            is_updatable: "NO",
            is_insertable_into: "NO",
            is_trigger_updatable: "NO",
            is_trigger_deletable: "NO",
            is_trigger_insertable_into: "NO",
        )?;
    }
    Ok(())
}

fn columns(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for relation in tables_and_views(scope) {
        for (index, column) in relation.columns.iter().enumerate() {
            let Some(pg_type) = pg_type::by_oid(column.type_oid) else {
                continue;
            };
            let position = i32::try_from(index + 1).unwrap_or(i32::MAX);
            column_row(scope, rows, relation, column, (pg_type, position))?;
        }
    }
    Ok(())
}

fn column_row(
    scope: &Scope<'_>,
    rows: &mut Rows,
    relation: &Relation,
    column: &Attribute,
    (pg_type, position): (&PgType, i32),
) -> Result<()> {
    let database = &scope.session.database;
    let limits = TypeLimits::of(pg_type, column.typmod);
    row!(
        rows,
        table_catalog: database,
        table_schema: &relation.schema,
        table_name: &relation.name,
        column_name: &column.name,
        ordinal_position: position,
        is_nullable: yes_or_no(!column.not_null),
        data_type: data_type(pg_type),
        character_maximum_length: limits.length,
        character_octet_length: limits.octets,
        numeric_precision: limits.precision,
        numeric_precision_radix: limits.radix,
        numeric_scale: limits.scale,
        datetime_precision: limits.datetime,
        udt_catalog: database,
        udt_schema: "pg_catalog",
        udt_name: pg_type.name,
        dtd_identifier: position.to_string(),
        is_self_referencing: "NO",
        column_default: column.default.as_ref().filter(|_| column.identity.is_none()),
        is_identity: yes_or_no(column.identity.is_some()),
        identity_generation: column.identity.map(|kind| match kind {
            'a' => "ALWAYS".to_owned(),
            _ => "BY DEFAULT".to_owned(),
        }),
        identity_cycle: "NO",
        is_generated: "NEVER",
        is_updatable: "NO",
    )
}

/// The standard's name of a type: without modifiers, all arrays alike.
fn data_type(pg_type: &PgType) -> String {
    if pg_type.category == 'A' && pg_type.name.starts_with('_') {
        return "ARRAY".to_owned();
    }
    let name = pg_type::format_type(pg_type.oid, pg_type::NO_TYPMOD);
    name.unwrap_or_else(|| pg_type.name.to_owned())
}

/// Those of the roles that the session has, as the standard asks.
fn table_privileges(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let user = &scope.session.user;
    for relation in tables_and_views(scope) {
        let grants = scope.facts.grants(Securable::Table {
            schema: &relation.schema,
            name: &relation.name,
        });
        for grant in grants {
            let enabled = |role: &str| role == user || scope.facts.has_role(user, role, true);
            let public = grant.grantee == "PUBLIC";
            if !public && !enabled(&grant.grantee) && !enabled(&grant.grantor) {
                continue;
            }
            row!(
                rows,
                grantor: &grant.grantor,
                grantee: &grant.grantee,
                table_catalog: &scope.session.database,
                table_schema: &relation.schema,
                table_name: &relation.name,
                privilege_type: &grant.privilege,
                is_grantable: yes_or_no(grant.grantable),
                with_hierarchy: yes_or_no(grant.privilege == "SELECT"),
            )?;
        }
    }
    Ok(())
}

fn enabled_roles(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let roles = roles::roles(scope.facts);
    let own = roles
        .iter()
        .find(|(_, role)| role.name == scope.session.user);
    let groups = own
        .map(|(_, role)| role.member_of.clone())
        .unwrap_or_default();
    row!(rows, role_name: &scope.session.user)?;
    for group in groups {
        row!(rows, role_name: group.role)?;
    }
    Ok(())
}

fn applicable_roles(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let roles = roles::roles(scope.facts);
    if let Some((_, role)) = roles
        .iter()
        .find(|(_, role)| role.name == scope.session.user)
    {
        for to in &role.member_of {
            row!(
                rows,
                grantee: &role.name,
                role_name: &to.role,
                is_grantable: yes_or_no(to.admin),
            )?;
        }
    }
    Ok(())
}

fn character_sets(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    row!(
        rows,
        character_set_name: "UTF8",
        character_repertoire: "UCS",
        form_of_use: "UTF8",
        default_collate_catalog: &scope.session.database,
        default_collate_schema: "pg_catalog",
        default_collate_name: "C",
    )
}

fn routines(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let database = &scope.session.database;
    let built_in = procs::built_ins_shown(scope.callable).filter(|function| function.kind == 'f');
    for function in built_in {
        let Some(returns) = pg_type::by_oid(function.returns) else {
            continue;
        };
        row!(
            rows,
            specific_catalog: database,
            specific_schema: "pg_catalog",
            specific_name: specific_name(function.name, function.oid),
            routine_catalog: database,
            routine_schema: "pg_catalog",
            routine_name: function.name,
            routine_type: "FUNCTION",
            data_type: data_type(returns),
            type_udt_catalog: database,
            type_udt_schema: "pg_catalog",
            type_udt_name: returns.name,
            routine_body: "EXTERNAL",
            external_language: "INTERNAL",
            parameter_style: "GENERAL",
            is_deterministic: yes_or_no(function.volatility == 'i'),
            sql_data_access: "MODIFIES",
            is_null_call: yes_or_no(function.strict),
            schema_level_routine: "YES",
            max_dynamic_result_sets: 0,
            security_type: "INVOKER",
            as_locator: "NO",
            is_udt_dependent: "NO",
        )?;
    }
    for function in scope.functions {
        let Some(returns) = pg_type::by_oid(function.returns) else {
            continue;
        };
        let schema = scope.snapshot.namespace(function.schema_oid);
        let schema = schema.map_or("public", |schema| schema.name.as_str());
        let is_function = matches!(function.kind, FunctionKind::Scalar | FunctionKind::Table);
        row!(
            rows,
            specific_catalog: database,
            specific_schema: schema,
            specific_name: specific_name(&function.name, function.oid),
            routine_catalog: database,
            routine_schema: schema,
            routine_name: &function.name,
            routine_type: is_function.then_some("FUNCTION"),
            data_type: data_type(returns),
            type_udt_catalog: database,
            type_udt_schema: "pg_catalog",
            type_udt_name: returns.name,
            routine_body: "EXTERNAL",
            external_language: "INTERNAL",
            parameter_style: "GENERAL",
            is_deterministic: "YES",
            sql_data_access: "MODIFIES",
            security_type: "INVOKER",
        )?;
    }
    Ok(())
}

fn parameters(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let database = &scope.session.database;
    for function in scope.functions {
        let schema = scope.snapshot.namespace(function.schema_oid);
        let schema = schema.map_or("public", |schema| schema.name.as_str());
        let arguments = function.argument_types.iter().zip(&function.argument_names);
        for (index, (type_oid, name)) in arguments.enumerate() {
            let Some(pg_type) = pg_type::by_oid(*type_oid) else {
                continue;
            };
            let position = i32::try_from(index + 1).unwrap_or(i32::MAX);
            row!(
                rows,
                specific_catalog: database,
                specific_schema: schema,
                specific_name: specific_name(&function.name, function.oid),
                ordinal_position: position,
                parameter_mode: "IN",
                is_result: "NO",
                as_locator: "NO",
                parameter_name: if name.is_empty() { Cell::Null } else { name.into() },
                data_type: data_type(pg_type),
                udt_catalog: database,
                udt_schema: "pg_catalog",
                udt_name: pg_type.name,
                dtd_identifier: position.to_string(),
            )?;
        }
    }
    Ok(())
}

/// PostgreSQL's name that is unique also among overloads.
fn specific_name(name: &str, oid: u32) -> String {
    format!("{name}_{oid}")
}
