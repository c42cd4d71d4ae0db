//! The catalog as psql sees it: its own queries, run in process.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::MemorySchemaProvider;
use datafusion::catalog::{CatalogProvider, MemTable, MemoryCatalogProvider, SchemaProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::DataType as SqlType;

use super::*;
use crate::engine::statement::dialect;

#[derive(Debug)]
struct TestServer;

impl ServerFacts for TestServer {
    fn settings(&self, _: &ConfigOptions) -> Vec<SettingRow> {
        let setting = |name: &str, value: &str, default: &str, source: &str| SettingRow {
            name: name.into(),
            value: value.into(),
            context: "user".into(),
            source: source.into(),
            default: Some(default.into()),
            ..SettingRow::default()
        };
        vec![
            setting("work_mem", "4MB", "4MB", "default"),
            setting("search_path", "public", "\"$user\", public", "session"),
        ]
    }

    fn activity(&self) -> Vec<ActivityRow> {
        vec![ActivityRow {
            pid: 7,
            state: "active".into(),
            ..ActivityRow::default()
        }]
    }

    fn roles(&self) -> Vec<RoleRow> {
        let role = |name: &str, superuser, member_of: &[&str]| RoleRow {
            name: name.into(),
            superuser,
            login: true,
            create_role: superuser,
            create_database: superuser,
            inherit: true,
            bypass_rls: superuser,
            replication: false,
            connections_max: -1,
            valid_until_us: None,
            member_of: member_of
                .iter()
                .map(|name| MemberRow {
                    role: (*name).to_owned(),
                    grantor: "loyal".to_owned(),
                    admin: false,
                })
                .collect(),
        };
        vec![
            role("analyst", false, &["readers"]),
            role("readers", false, &[]),
            role("loyal", true, &[]),
        ]
    }

    fn owner(&self) -> String {
        "loyal".into()
    }

    fn started_at_us(&self) -> i64 {
        1_700_000_000_000_000
    }
}

fn empty_table(fields: Vec<Field>) -> Arc<MemTable> {
    let schema = Arc::new(Schema::new(fields));
    Arc::new(MemTable::try_new(schema, vec![vec![]]).unwrap())
}

fn users_catalog() -> Arc<MemoryCatalogProvider> {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let utc = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let public = MemorySchemaProvider::new();
    let customers = vec![
        Field::new("id", DataType::Int64, false),
        field("name", DataType::Utf8View),
        field("active", DataType::Boolean),
        field("joined_on", DataType::Date32),
        field(
            "created_at",
            DataType::Timestamp(TimeUnit::Microsecond, None),
        ),
        field("updated_at", utc()),
        field("balance", DataType::Decimal128(12, 2)),
    ];
    let orders = vec![
        field("id", DataType::Int64),
        field("amount", DataType::Float64),
        field(
            "tags",
            DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
        ),
        field("raw", DataType::Binary),
    ];
    public
        .register_table("customers".into(), empty_table(customers))
        .unwrap();
    public
        .register_table("orders".into(), empty_table(orders))
        .unwrap();
    let marketing = MemorySchemaProvider::new();
    let campaigns = vec![field("id", DataType::Int32), field("title", DataType::Utf8)];
    marketing
        .register_table("campaigns".into(), empty_table(campaigns))
        .unwrap();
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema("public", Arc::new(public)).unwrap();
    catalog
        .register_schema("marketing", Arc::new(marketing))
        .unwrap();
    Arc::new(catalog)
}

fn nps() -> FunctionDescription {
    FunctionDescription {
        name: "nps".into(),
        kind: FunctionKind::Aggregate,
        arguments: vec![("score".into(), "bigint".into())],
        returns: "double precision".into(),
        description: Some("Net promoter score.".into()),
        syntax: Some("nps(score)".into()),
        builtin: false,
    }
}

/// The types of PostgreSQL that the engine plans, without what it marks them with.
#[derive(Debug)]
struct PlainTypes;

impl TypePlanner for PlainTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let data_type = match sql_type {
            SqlType::Int32 => DataType::Int32,
            SqlType::Int64 => DataType::Int64,
            SqlType::Custom(name, _) => match name.to_string().as_str() {
                "oid" | "xid" => DataType::UInt32,
                "name" | "bpchar" | "\"char\"" => DataType::Utf8View,
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}

struct Psql {
    session: SessionContext,
    catalog: Arc<SystemCatalog>,
}

impl Psql {
    async fn start() -> Self {
        let mut config = SessionConfig::new().with_default_catalog_and_schema("shop", "public");
        config.options_mut().sql_parser.dialect = "postgresql".parse().unwrap();
        let facts = SessionFacts {
            pid: 7,
            user: "analyst".into(),
            database: "shop".into(),
            ..SessionFacts::default()
        };
        config.options_mut().extensions.insert(facts);
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_type_planner(Arc::new(PlainTypes))
            .build();
        let session = SessionContext::new_with_state(state);
        let users = users_catalog();
        let catalog = SystemCatalog::new(
            Arc::clone(&users) as _,
            vec![nps()],
            Arc::new(TestServer),
            Notes::default(),
        );
        let pg_catalog = Arc::new(PgCatalog::new(Arc::clone(&catalog)));
        users.register_schema(PG_CATALOG, pg_catalog).unwrap();
        let information_schema = Arc::new(InformationSchema::new(Arc::clone(&catalog)));
        users
            .register_schema(INFORMATION_SCHEMA, information_schema)
            .unwrap();
        session.register_catalog("shop", users);
        for function in functions::all(&catalog) {
            session.register_udf(function);
        }
        let first = Arc::new(|args: &[ColumnarValue]| Ok(args[0].clone()));
        let text = DataType::Utf8;
        session.register_udf(create_udf(
            "current_setting",
            vec![text.clone()],
            text,
            Volatility::Stable,
            first,
        ));
        crate::engine::functions::register_last(&mut session.state_ref().write()).unwrap();
        catalog.refresh(&SessionFacts::default()).await;
        Self { session, catalog }
    }

    async fn try_rows(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        let state = self.session.state();
        let dialect = state.config().options().sql_parser.dialect;
        let mut statement = state.sql_to_statement(sql, &dialect)?;
        if let Statement::Statement(statement) = &mut statement {
            dialect::rewrite(statement)?;
        }
        let plan = state.statement_to_plan(statement).await?;
        let batches = self
            .session
            .execute_logical_plan(plan)
            .await?
            .collect()
            .await?;
        Ok(batches.iter().flat_map(texts).collect())
    }

    async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_rows(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}\n{error}"))
    }

    fn oid(&self, schema: &str, name: &str) -> u32 {
        self.catalog
            .snapshot()
            .relation_named(schema, name)
            .unwrap()
            .oid
    }

    /// The rows of the statements psql sends for a command.
    async fn command(&self, command: &str) -> Vec<Vec<Vec<String>>> {
        let mut results = Vec::new();
        for (_, sql) in psql_queries().into_iter().filter(|(of, _)| of == command) {
            results.push(self.rows(&self.with_oids(&sql)).await);
        }
        assert!(!results.is_empty(), "no queries of {command}");
        results
    }

    fn with_oids(&self, sql: &str) -> String {
        sql.replace("{customers}", &self.oid("public", "customers").to_string())
            .replace(
                "{campaigns}",
                &self.oid("marketing", "campaigns").to_string(),
            )
    }
}

fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("∅");
    let columns = batch
        .columns()
        .iter()
        .map(|c| ArrayFormatter::try_new(c, &options).unwrap());
    let columns: Vec<_> = columns.collect();
    let row = |row| {
        columns
            .iter()
            .map(|column| column.value(row).to_string())
            .collect()
    };
    (0..batch.num_rows()).map(row).collect()
}

/// Command and statement.
fn psql_queries() -> Vec<(String, String)> {
    let sections = include_str!("psql15.sql").split("--@ ").skip(1);
    let split = sections.map(|section| section.split_once('\n').unwrap());
    split
        .map(|(command, sql)| (command.to_owned(), sql.trim().to_owned()))
        .collect()
}

#[tokio::test]
async fn everything_psql_sends_is_answered() {
    let psql = Psql::start().await;
    let mut failures = Vec::new();
    for (command, sql) in psql_queries() {
        if let Err(error) = psql.try_rows(&psql.with_oids(&sql)).await {
            let error = error.to_string();
            let error: String = error.chars().take(400).collect();
            failures.push(format!("{command}\n{sql}\n=> {error}\n"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} failed\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[tokio::test]
async fn tables_are_listed_where_they_are() {
    let psql = Psql::start().await;
    let tables = |rows: &Vec<Vec<String>>| -> Vec<String> {
        rows.iter().map(|row| row[..4].join("|")).collect()
    };
    let visible = ["public|customers|table|loyal", "public|orders|table|loyal"];
    assert_eq!(tables(&psql.command("\\dt").await[0]), visible);
    assert_eq!(tables(&psql.command("\\d").await[0]), visible);
    assert_eq!(tables(&psql.command("\\dt cust*").await[0]), visible[..1]);
    let marketing = psql.command("\\dt marketing.*").await;
    assert_eq!(tables(&marketing[0]), ["marketing|campaigns|table|loyal"]);
    assert!(psql.command("\\d nosuch").await[0].is_empty());
}

#[tokio::test]
async fn a_table_is_described() {
    let psql = Psql::start().await;
    let steps = psql.command("\\d customers").await;
    assert_eq!(
        steps[0],
        [[
            &psql.oid("public", "customers").to_string(),
            "public",
            "customers"
        ]]
    );
    assert_eq!(steps[1].len(), 1);
    let columns: Vec<String> = steps[2].iter().map(|row| row.join("|")).collect();
    assert_eq!(
        columns,
        [
            "id|bigint|∅|true|∅||",
            "name|text|∅|false|∅||",
            "active|boolean|∅|false|∅||",
            "joined_on|date|∅|false|∅||",
            "created_at|timestamp without time zone|∅|false|∅||",
            "updated_at|timestamp with time zone|∅|false|∅||",
            "balance|numeric(12,2)|∅|false|∅||",
        ]
    );
    assert!(steps[3..].iter().all(Vec::is_empty));
}

#[tokio::test]
async fn schemas_functions_and_roles_are_listed() {
    let psql = Psql::start().await;
    assert_eq!(
        psql.command("\\dn").await[0],
        [["marketing", "loyal"], ["public", "loyal"]]
    );
    let nps = [["public", "nps", "double precision", "score bigint", "agg"]];
    assert_eq!(psql.command("\\df nps").await[0], nps);
    assert_eq!(psql.command("\\df").await[0], nps);
    let full = psql.command("\\df+ nps").await;
    assert_eq!(full[0][0].last().unwrap(), "Net promoter score.");
    let roles: Vec<String> = psql.command("\\du").await[0]
        .iter()
        .map(|row| format!("{}{}", row[0], row[8]))
        .collect();
    assert_eq!(roles, ["analyst[readers]", "loyal[]", "readers[]"]);
    assert_eq!(
        psql.command("\\l").await[0][0][..3],
        ["shop", "loyal", "UTF8"]
    );
    assert_eq!(
        psql.command("\\dconfig").await[0],
        [["search_path", "search_path"]]
    );
}

#[tokio::test]
async fn tab_completes() {
    let psql = Psql::start().await;
    let complete = psql.command("SELECT * FROM cu<TAB>").await;
    assert_eq!(complete[0], [["customers", "∅"]]);
    let settings = psql.command("SET <TAB>").await;
    assert_eq!(settings[0], [["work_mem"], ["search_path"]]);
    let functions = psql.command("\\df np<TAB>").await;
    assert_eq!(functions[0], [["nps", "∅"]]);
    let qualified = psql.command("SELECT * FROM marketing.ca<TAB>").await;
    assert_eq!(qualified[0], [["campaigns", "marketing"]]);
}

/// A query of one value, and the value; {customers} is the OID of the table.
const ANSWERS: &[(&str, &str)] = &[
    ("SELECT 'customers'::regclass::text", "customers"),
    ("SELECT 'public.customers'::regclass::text", "customers"),
    (
        "SELECT 'marketing.campaigns'::regclass::text",
        "marketing.campaigns",
    ),
    ("SELECT 'customers'::regclass::oid", "{customers}"),
    (
        "SELECT oid FROM pg_class WHERE oid = 'customers'::regclass",
        "{customers}",
    ),
    (
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'customers'::regclass",
        "7",
    ),
    ("SELECT to_regclass('nosuch')", "∅"),
    ("SELECT to_regclass('customers')::text", "customers"),
    (
        "SELECT typarray FROM pg_type WHERE oid = to_regtype('bigint')",
        "1016",
    ),
    ("SELECT to_regtype('int8')::oid", "20"),
    ("SELECT 'bigint'::regtype::text", "bigint"),
    ("SELECT 1184::regtype::text", "timestamp with time zone"),
    (
        "SELECT typname FROM pg_type WHERE typinput = 'array_in'::regproc AND oid = 1009",
        "_text",
    ),
    (
        "SELECT proname FROM pg_proc p JOIN pg_type t ON p.oid = t.typreceive WHERE t.oid = 20",
        "int8recv",
    ),
    ("SELECT 'public'::regnamespace::text", "public"),
    ("SELECT obj_description('customers'::regclass)", "∅"),
    ("SELECT current_schema", "public"),
    ("SELECT current_schema()", "public"),
    ("SELECT current_user", "analyst"),
    ("SELECT user", "analyst"),
    ("SELECT current_catalog", "shop"),
    ("SELECT current_database()", "shop"),
    ("SELECT current_schemas(true)", "[pg_catalog, public]"),
    ("SELECT pg_backend_pid()", "7"),
    ("SELECT version() LIKE 'PostgreSQL 15%'", "true"),
    (
        "SELECT relname FROM pg_class WHERE relkind = ANY ('{r}') AND relname LIKE 'cust%'",
        "customers",
    ),
    (
        "SELECT relname FROM pg_class WHERE relkind = ANY (ARRAY['r','v']::\"char\"[]) AND relname = 'orders'",
        "orders",
    ),
    (
        "SELECT count(*) FROM pg_class WHERE relname LIKE ANY (ARRAY['cust%', 'ord%'])",
        "2",
    ),
    (
        "SELECT nspname FROM pg_namespace WHERE oid = 2200::oid",
        "public",
    ),
    (
        "SELECT table_type FROM information_schema.tables WHERE table_name = 'orders'",
        "BASE TABLE",
    ),
    (
        "SELECT data_type FROM information_schema.columns WHERE table_name = 'orders' AND column_name = 'tags'",
        "ARRAY",
    ),
    (
        "SELECT numeric_scale FROM information_schema.columns WHERE column_name = 'balance'",
        "2",
    ),
    (
        "SELECT format('%I.%s=%L', 'a b', 1, 'x''y')",
        "\"a b\".1='x''y'",
    ),
    (
        "WITH pg_class AS (SELECT 5 AS x) SELECT x FROM pg_class",
        "5",
    ),
    (
        "SELECT count FROM (SELECT count(*) FROM pg_namespace WHERE nspname = 'public') s",
        "1",
    ),
    (
        "SELECT ARRAY(SELECT nspname FROM pg_namespace WHERE nspname < 'n' ORDER BY 1 DESC)",
        "[marketing, information_schema]",
    ),
    (
        "SELECT amhandler::regproc::text FROM pg_am WHERE amname = 'heap' ORDER BY amhandler",
        "heap_tableam_handler",
    ),
    (
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'orders') THEN 'y' END FROM pg_namespace n WHERE nspname = 'public'",
        "y",
    ),
    (
        "SELECT NOT EXISTS (SELECT * FROM pg_policy p WHERE p.polrelid = c.oid) FROM pg_class c WHERE relname = 'customers'",
        "true",
    ),
    ("SELECT EXISTS (SELECT 1 FROM customers)", "false"),
    (
        "SELECT l.tableoid FROM pg_language l WHERE lanname = 'sql'",
        "2612",
    ),
    ("SELECT a || b FROM (SELECT 'x' AS a, 'y' AS b) t", "xy"),
];

#[tokio::test]
async fn names_and_oids_convert() {
    let psql = Psql::start().await;
    for (sql, value) in ANSWERS {
        assert_eq!(psql.rows(sql).await, [[psql.with_oids(value)]], "{sql}");
    }
}

#[tokio::test]
async fn a_correlated_subquery_means_what_it_says() {
    let psql = Psql::start().await;
    let rows = psql
        .rows(
            "SELECT n.nspname, (SELECT c.relname FROM pg_class c WHERE c.relnamespace = n.oid \
             AND c.relname = 'campaigns') FROM pg_namespace n WHERE n.oid >= 2200 ORDER BY 1",
        )
        .await;
    assert_eq!(
        rows,
        [
            ["information_schema", "∅"],
            ["marketing", "campaigns"],
            ["public", "∅"]
        ]
    );
    let two = "SELECT (SELECT c.relname FROM pg_class c WHERE c.relnamespace = n.oid) \
               FROM pg_namespace n WHERE n.nspname = 'public'";
    let error = psql.try_rows(two).await.unwrap_err();
    assert!(error.to_string().contains("more than one row"), "{error}");
    // Another namespace with several relations does no harm to a row that has one.
    let one = "SELECT (SELECT c.relname FROM pg_class c WHERE c.relnamespace = n.oid) \
               FROM pg_namespace n WHERE n.nspname = 'marketing'";
    assert_eq!(psql.rows(one).await, [["campaigns"]]);
    let hoisted = "SELECT (SELECT c.relname FROM pg_class c WHERE c.relnamespace = n.oid \
                   AND n.nspname = 'marketing') FROM pg_namespace n WHERE n.oid >= 2200 ORDER BY n.nspname";
    assert_eq!(psql.rows(hoisted).await, [["∅"], ["campaigns"], ["∅"]]);
}

#[tokio::test]
async fn result_columns_have_postgresqls_names() {
    let psql = Psql::start().await;
    let sql = "SELECT count(*), count(*), 1, 1, c.oid::regclass, 'x'::text, max(c.oid) AS m \
               FROM pg_class c GROUP BY c.oid ORDER BY m LIMIT 1";
    let state = psql.session.state();
    let dialect = state.config().options().sql_parser.dialect;
    let mut statement = state.sql_to_statement(sql, &dialect).unwrap();
    if let Statement::Statement(statement) = &mut statement {
        dialect::rewrite(statement).unwrap();
    }
    let plan = state.statement_to_plan(statement).await.unwrap();
    let names: Vec<&str> = plan
        .schema()
        .fields()
        .iter()
        .map(|field| dialect::output_name(field.name()))
        .collect();
    assert_eq!(
        names,
        ["count", "count", "?column?", "?column?", "oid", "text", "m"]
    );
    let ordered = psql
        .rows("SELECT count(*), relkind FROM pg_class GROUP BY relkind ORDER BY count DESC")
        .await;
    assert!(ordered[0][0].parse::<u32>().unwrap() >= ordered[1][0].parse::<u32>().unwrap());
}

#[tokio::test]
async fn a_column_may_stand_beside_its_wildcard() {
    let psql = Psql::start().await;
    let rows = psql
        .rows("SELECT n.nspname, n.* FROM pg_namespace n WHERE nspname = 'public'")
        .await;
    assert_eq!(rows[0][..3], ["public", "2200", "public"]);
}

#[tokio::test]
async fn statements_say_whether_they_use_the_catalog() {
    let psql = Psql::start().await;
    let state = psql.session.state();
    let dialect = state.config().options().sql_parser.dialect;
    for (sql, uses_catalog) in [
        ("SELECT 1", false),
        ("SELECT version(), current_user", false),
        ("SELECT current_schema", true),
        ("SELECT 'customers'::regclass::text", true),
        ("SELECT * FROM pg_class", true),
        ("SELECT * FROM information_schema.tables", true),
        (
            "SELECT * FROM customers WHERE id IN (SELECT oid FROM pg_type)",
            true,
        ),
    ] {
        let statement = state.sql_to_statement(sql, &dialect).unwrap();
        let Statement::Statement(mut statement) = statement else {
            panic!("{sql}")
        };
        assert_eq!(
            dialect::rewrite(&mut statement).unwrap().uses_catalog,
            uses_catalog,
            "{sql}"
        );
    }
}

#[tokio::test]
async fn a_collation_that_we_do_not_have_is_refused() {
    let psql = Psql::start().await;
    assert_eq!(
        psql.rows("SELECT 'a' < 'b' COLLATE \"C\"").await,
        [["true"]]
    );
    let error = psql
        .try_rows("SELECT 'a' < 'b' COLLATE \"uk-x-icu\"")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[tokio::test]
async fn every_system_relation_can_be_read() {
    let psql = Psql::start().await;
    for schema in [PG_CATALOG, INFORMATION_SCHEMA] {
        for layout in layout::layouts(schema) {
            psql.rows(&format!("SELECT * FROM {schema}.{}", layout.name))
                .await;
        }
    }
}

#[tokio::test]
async fn oids_survive_a_restart() {
    let first = Psql::start().await.oid("public", "customers");
    assert_eq!(first, Psql::start().await.oid("public", "customers"));
    assert!(first >= oid::FIRST_USER);
}

/// A table of the queries below.
const T: &str = "t(k, n, v) AS (VALUES (1, 'a', 1), (1, 'b', 2), (2, 'c', 3), (3, 'd', 4))";

/// Users' queries that DataFusion plans as they are.
const USER_QUERIES: &[&str] = &[
    "SELECT lower(n) FROM t GROUP BY lower(n) ORDER BY lower(n)",
    "SELECT k, count(*) FROM t GROUP BY k HAVING count(*) > 1 ORDER BY count(*) DESC, k",
    "SELECT k, count(*) AS c, sum(v) FROM t GROUP BY 1 ORDER BY 2 DESC, 1",
    "SELECT k::text, sum(v) FROM t GROUP BY k ORDER BY sum(v)",
    "SELECT n, sum(v) OVER (PARTITION BY k ORDER BY n) FROM t ORDER BY n",
    "SELECT DISTINCT k + 1 FROM t ORDER BY 1",
    "SELECT DISTINCT ON (k) k, n FROM t ORDER BY k, n",
    "SELECT upper(n) FROM t UNION SELECT n FROM t ORDER BY 1",
    "SELECT s.* FROM (SELECT k, v * 2 AS w FROM t) s WHERE s.w > 2 ORDER BY w, k",
    "SELECT *, v + 1 FROM t ORDER BY n",
    "SELECT a.n, b.n FROM t a JOIN t b ON a.k = b.k AND a.n < b.n ORDER BY 1, 2",
    "SELECT n FROM t x WHERE v = (SELECT max(y.v) FROM t y WHERE y.k = x.k) ORDER BY n",
    "SELECT n FROM t x WHERE EXISTS (SELECT 1 FROM t y WHERE y.k = x.k AND y.n <> x.n) ORDER BY n",
    "SELECT n FROM t WHERE k IN (SELECT k FROM t WHERE v > 2) ORDER BY n",
    "SELECT CASE WHEN v > 2 THEN 'big' ELSE n END, CAST(v AS varchar) FROM t ORDER BY n",
    "SELECT array_agg(n ORDER BY n), string_agg(n, ',' ORDER BY n) FROM t",
    "SELECT n FROM t WHERE n = ANY (ARRAY['a', 'c']) ORDER BY n",
    "SELECT date '2024-01-31' + interval '1 day', -v FROM t ORDER BY n LIMIT 1",
    "SELECT t.v, avg(v) FROM t GROUP BY t.v ORDER BY t.v",
    "SELECT v AS k, k AS v FROM t ORDER BY n",
    "SELECT sum(v) FILTER (WHERE k = 1), count(DISTINCT k) FROM t",
    "SELECT k, grouping(k), sum(v) FROM t GROUP BY ROLLUP (k) ORDER BY k",
    "SELECT n || '-' || v FROM t ORDER BY n DESC",
];

#[tokio::test]
async fn users_queries_keep_their_meaning() {
    let psql = Psql::start().await;
    let mut different = Vec::new();
    for query in USER_QUERIES {
        let sql = format!("WITH {T} {query}");
        let plain = match psql.session.sql(&sql).await {
            Ok(plain) => plain.collect().await.unwrap(),
            Err(error) => {
                different.push(format!("{query}: not planned as it is: {error}"));
                continue;
            }
        };
        let plain: Vec<_> = plain.iter().flat_map(texts).collect();
        match psql.try_rows(&sql).await {
            Ok(rows) if rows == plain && !rows.is_empty() => {}
            other => different.push(format!("{query}: {other:?} instead of {plain:?}")),
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[tokio::test]
async fn users_queries_that_datafusion_refuses_are_answered() {
    let psql = Psql::start().await;
    let distinct = format!("WITH {T} SELECT DISTINCT k + 1 FROM t ORDER BY k + 1");
    assert_eq!(psql.rows(&distinct).await, [["2"], ["3"], ["4"]]);
    let cast = format!("WITH {T} SELECT k::text, sum(v) FROM t GROUP BY k ORDER BY k");
    assert_eq!(psql.rows(&cast).await, [["1", "3"], ["2", "3"], ["3", "4"]]);
    let exists = format!(
        "WITH {T} SELECT n, EXISTS (SELECT 1 FROM t y WHERE y.k = x.k AND y.v > 2) FROM t x ORDER BY n"
    );
    let answers = [["a", "false"], ["b", "false"], ["c", "true"], ["d", "true"]];
    assert_eq!(psql.rows(&exists).await, answers);
}

#[tokio::test]
async fn unnamed_columns_of_subqueries_have_names() {
    let psql = Psql::start().await;
    let values = "(VALUES (1, 'a'), (1, 'b')) AS t(k, n)";
    for (sql, answer) in [
        (
            format!("SELECT s.count FROM (SELECT k, count(*) FROM {values} GROUP BY k) s"),
            "2",
        ),
        (
            format!("WITH s AS (SELECT max(n) FROM {values}) SELECT max FROM s"),
            "b",
        ),
        (
            format!(
                "SELECT max FROM (SELECT k, max(n) FROM {values} GROUP BY k ORDER BY max(n)) s"
            ),
            "b",
        ),
    ] {
        assert_eq!(psql.rows(&sql).await, [[answer]], "{sql}");
    }
}
