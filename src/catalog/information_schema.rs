//! The relations of information_schema.

use datafusion::error::Result;

use super::cells::{Cell, Rows, row};
use super::pg_type::{self, PgType};
use super::procs::FunctionKind;
use super::relation_table::{Producer, Scope};
use super::roles;
use super::snapshot::{Attribute, Relation};

/// Bytes of the longest text that PostgreSQL reports for unlimited character types.
const OCTETS_MAX: i32 = 1_073_741_824;

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
        _ => return None,
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

fn tables(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for relation in scope.snapshot.relations() {
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
    for relation in scope.snapshot.relations() {
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
    let limits = Limits::of(pg_type, column.typmod);
    row!(
        rows,
        table_catalog: database,
        table_schema: &relation.schema,
        table_name: &relation.name,
        column_name: &column.name,
        ordinal_position: position,
        is_nullable: yes_or_no(!column.not_null),
        data_type: data_type(pg_type),
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
        is_identity: "NO",
        identity_cycle: "NO",
        is_generated: "NEVER",
        is_updatable: "NO",
    )
}

/// The standard's numbers about a type; none where they do not apply.
#[derive(Debug, Default, PartialEq, Eq)]
struct Limits {
    octets: Option<i32>,
    precision: Option<i32>,
    radix: Option<i32>,
    scale: Option<i32>,
    datetime: Option<i32>,
}

impl Limits {
    fn of(pg_type: &PgType, typmod: i32) -> Self {
        let binary = |bits, scale| Self {
            precision: Some(bits),
            radix: Some(2),
            scale,
            ..Self::default()
        };
        match pg_type.oid {
            21 => binary(16, Some(0)),
            23 => binary(32, Some(0)),
            20 => binary(64, Some(0)),
            700 => binary(24, None),
            701 => binary(53, None),
            1700 if typmod >= 4 => Self {
                precision: Some(((typmod - 4) >> 16) & 0xffff),
                radix: Some(10),
                scale: Some((((typmod - 4) & 0x7ff) ^ 1024) - 1024),
                ..Self::default()
            },
            1700 => Self {
                radix: Some(10),
                ..Self::default()
            },
            1082 => Self {
                datetime: Some(0),
                ..Self::default()
            },
            1083 | 1114 | 1184 | 1186 | 1266 => Self {
                datetime: Some(6),
                ..Self::default()
            },
            25 | 1042 | 1043 => Self {
                octets: Some(OCTETS_MAX),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
}

/// The standard's name of a type: without modifiers, all arrays alike.
fn data_type(pg_type: &PgType) -> String {
    if pg_type.category == 'A' && pg_type.name.starts_with('_') {
        return "ARRAY".to_owned();
    }
    let name = pg_type::format_type(pg_type.oid, pg_type::NO_TYPMOD);
    name.unwrap_or_else(|| pg_type.name.to_owned())
}

fn table_privileges(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let owner = scope.facts.owner();
    for relation in scope.snapshot.relations() {
        row!(
            rows,
            grantor: &owner,
            grantee: &scope.session.user,
            table_catalog: &scope.session.database,
            table_schema: &relation.schema,
            table_name: &relation.name,
            privilege_type: "SELECT",
            is_grantable: "NO",
            with_hierarchy: "YES",
        )?;
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
        row!(rows, role_name: group)?;
    }
    Ok(())
}

fn applicable_roles(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let roles = roles::roles(scope.facts);
    if let Some((_, role)) = roles
        .iter()
        .find(|(_, role)| role.name == scope.session.user)
    {
        for group in &role.member_of {
            row!(rows, grantee: &role.name, role_name: group, is_grantable: "NO")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_limits_come_from_the_modifier() {
        let (oid, typmod) =
            pg_type::pg_type_of(&datafusion::arrow::datatypes::DataType::Decimal128(12, 2));
        let limits = Limits::of(pg_type::by_oid(oid).unwrap(), typmod);
        assert_eq!(
            (limits.precision, limits.radix, limits.scale),
            (Some(12), Some(10), Some(2))
        );
    }
}
