// Drives a server through pgjdbc; started by case_jdbc.py with the names of cases, prints the answers as programs.py reads them.
import java.io.ByteArrayOutputStream;
import java.io.StringWriter;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Time;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TimeZone;
import java.util.UUID;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;
import org.postgresql.util.PGInterval;
import org.postgresql.util.PGobject;

public final class JdbcSuite {
    private static final Map<String, String> ENV = System.getenv();
    private static final int LINES = Integer.parseInt(ENV.get("LINES"));
    private static final int REUSES = Integer.parseInt(ENV.get("REUSES"));
    private static final int FETCH = 1000;
    private static final StringBuilder OUT = new StringBuilder();
    private static String running;

    private interface Asked { String of(String sql) throws Exception; }

    public static void main(String[] names) throws Exception {
        TimeZone.setDefault(TimeZone.getTimeZone(ENV.get("TIME_ZONE")));
        for (String name : names) {
            running = name;
            try {
                run(name);
                line("=ok", "");
            } catch (Throwable error) {
                line("=error", failure(error) + " " + error.getMessage());
            }
            System.out.write(OUT.toString().getBytes(StandardCharsets.UTF_8));
            System.out.flush();
            OUT.setLength(0);
        }
    }

    private static void run(String name) throws Exception {
        try {
            JdbcSuite.class.getDeclaredMethod(name).invoke(null);
        } catch (InvocationTargetException error) {
            throw (Exception) error.getCause();
        }
    }

    private static void line(String question, String answer) {
        OUT.append(escape(running)).append('\t').append(escape(question)).append('\t').append(escape(answer)).append('\n');
    }

    private static String escape(String text) {
        return text == null ? "null" : text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r");
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException(what);
        }
    }

    private static Connection open(String... more) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", "analyst");
        properties.setProperty("ApplicationName", ENV.get("APPLICATION"));
        for (int i = 0; i < more.length; i += 2) {
            properties.setProperty(more[i], more[i + 1]);
        }
        if (ENV.containsKey("PGPASSWORD")) {
            properties.setProperty("password", ENV.get("PGPASSWORD"));
            properties.setProperty("sslmode", ENV.get("PGSSLMODE"));
            properties.setProperty("sslrootcert", ENV.get("PGSSLROOTCERT"));
        }
        return DriverManager.getConnection("jdbc:postgresql://" + ENV.get("SERVER_HOST") + ":" + ENV.get("SERVER_PORT") + "/loyalhouse", properties);
    }

    private static Map<String, String> section(String wanted) throws Exception {
        Map<String, String> found = new LinkedHashMap<>();
        for (String text : Files.readAllLines(Path.of(ENV.get("QUESTIONS")))) {
            String[] fields = text.split("\t");
            if (fields.length == 3 && fields[0].equals(wanted)) {
                found.put(fields[1], fields[2]);
            }
        }
        return found;
    }

    private static void answers(String section, Asked asked) throws Exception {
        for (Map.Entry<String, String> entry : section(section).entrySet()) {
            line(entry.getKey(), attempt(() -> asked.of(entry.getValue())));
        }
    }

    private interface Attempt { Object run() throws Exception; }

    private static String attempt(Attempt attempt) {
        try {
            return String.valueOf(attempt.run());
        } catch (Throwable error) {
            return failure(error);
        }
    }

    private static String failure(Throwable error) {
        Throwable cause = error instanceof InvocationTargetException ? error.getCause() : error;
        String state = cause instanceof SQLException ? " " + ((SQLException) cause).getSQLState() : "";
        return "! " + cause.getClass().getSimpleName() + state;
    }

    private static String spell(Object value) throws SQLException {
        if (value == null) {
            return "NULL";
        }
        if (value instanceof byte[]) {
            StringBuilder hex = new StringBuilder("bytes ");
            for (byte part : (byte[]) value) {
                hex.append(String.format("%02x", part));
            }
            return hex.toString();
        }
        if (value instanceof Array) {
            Array array = (Array) value;
            List<String> items = new ArrayList<>();
            for (Object item : (Object[]) array.getArray()) {
                items.add(item instanceof Object[] ? Arrays.deepToString((Object[]) item) : spell(item));
            }
            return "Array " + array.getBaseTypeName() + " " + items;
        }
        if (value instanceof PGobject) {
            return value.getClass().getSimpleName() + " " + ((PGobject) value).getType() + " " + ((PGobject) value).getValue();
        }
        return value.getClass().getSimpleName() + " " + value;
    }

    private static String rows(ResultSet result, String... without) throws SQLException {
        ResultSetMetaData about = result.getMetaData();
        Set<String> left = Set.of(without);
        StringBuilder text = new StringBuilder();
        while (result.next()) {
            List<String> row = new ArrayList<>();
            for (int i = 1; i <= about.getColumnCount(); i++) {
                if (!left.contains(about.getColumnLabel(i).toUpperCase(Locale.ROOT))) {
                    row.add(spell(result.getObject(i)));
                }
            }
            text.append(text.length() > 0 ? "\n" : "").append(String.join(" | ", row));
        }
        result.close();
        return text.toString();
    }

    private static String ask(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            return rows(statement.executeQuery(sql));
        }
    }

    static void connect() throws Exception {
        try (Connection connection = open("options", "-c statement_timeout=12345", "assumeMinServerVersion", "9.0")) {
            DatabaseMetaData about = connection.getMetaData();
            check(about.getDatabaseMajorVersion() == 15, "version " + about.getDatabaseProductVersion());
            line("product", about.getDatabaseProductName());
            line("valid", String.valueOf(connection.isValid(5)));
            line("catalog", connection.getCatalog());
            line("schema", connection.getSchema());
            line("asked", ask(connection, "SELECT current_user, current_setting('application_name'), current_setting('TimeZone'), current_setting('statement_timeout'), current_setting('DateStyle')"));
            connection.setSchema("crm");
            line("other schema", ask(connection, "SELECT count(*) FROM accounts"));
            connection.setClientInfo("ApplicationName", "renamed");
            line("renamed", ask(connection, "SELECT current_setting('application_name')"));
            connection.setNetworkTimeout(Runnable::run, 10000);
            line("warnings", String.valueOf(connection.getWarnings()));
        }
    }

    static void query() throws Exception {
        try (Connection connection = open()) {
            answers("query", sql -> ask(connection, sql));
        }
    }

    static void query_simple() throws Exception {
        try (Connection connection = open("preferQueryMode", "simple")) {
            answers("query", sql -> ask(connection, sql));
        }
    }

    static void query_batch() throws Exception {
        try (Connection connection = open(); Statement statement = connection.createStatement()) {
            check(statement.execute("SELECT 1; SELECT 'two'; SELECT id FROM customers WHERE id < 3 ORDER BY id"), "no result");
            StringBuilder text = new StringBuilder();
            do {
                text.append(rows(statement.getResultSet())).append(';');
            } while (statement.getMoreResults());
            line("many", text.toString());
            line("escapes", ask(connection, "SELECT {fn ucase('a')}, {d '2024-02-29'}, {ts '2024-02-29 01:02:03'}, {fn concat('a', 'b')}, {fn month({d '2024-02-29'})}"));
            statement.setMaxRows(3);
            line("max rows", rows(statement.executeQuery("SELECT id FROM lines ORDER BY id")));
        }
    }

    private interface Setter { void set(PreparedStatement statement) throws SQLException; }

    private static void parameter(Connection connection, String sql, Setter... setters) {
        for (int i = 0; i < setters.length; i++) {
            Setter setter = setters[i];
            line(sql + " " + i, attempt(() -> {
                try (PreparedStatement statement = connection.prepareStatement(sql)) {
                    setter.set(statement);
                    return rows(statement.executeQuery());
                }
            }));
        }
    }

    private static void parameters(Connection connection) throws Exception {
        OffsetDateTime moment = OffsetDateTime.of(2024, 2, 29, 1, 2, 3, 4000, ZoneOffset.UTC);
        parameter(connection, "SELECT ?::bool", s -> s.setBoolean(1, true), s -> s.setNull(1, Types.BOOLEAN), s -> s.setString(1, "t"));
        parameter(connection, "SELECT ?::int2", s -> s.setShort(1, (short) -7));
        parameter(connection, "SELECT ?::int4", s -> s.setInt(1, 7), s -> s.setNull(1, Types.INTEGER), s -> s.setObject(1, 7, Types.BIGINT));
        parameter(connection, "SELECT ?::int8", s -> s.setLong(1, 1L << 62));
        parameter(connection, "SELECT ?::float4", s -> s.setFloat(1, 0.1f));
        parameter(connection, "SELECT ?::float8", s -> s.setDouble(1, 1e300), s -> s.setDouble(1, Double.NaN));
        parameter(connection, "SELECT ?::numeric", s -> s.setBigDecimal(1, new BigDecimal("-12.3450")), s -> s.setNull(1, Types.NUMERIC));
        parameter(connection, "SELECT ?::text", s -> s.setString(1, "it's \\ here"), s -> s.setNull(1, Types.VARCHAR));
        parameter(connection, "SELECT ?::bytea", s -> s.setBytes(1, new byte[] {0, -1}), s -> s.setNull(1, Types.BINARY));
        parameter(connection, "SELECT ?::date", s -> s.setDate(1, Date.valueOf("2024-02-29")), s -> s.setObject(1, LocalDate.of(2024, 2, 29)), s -> s.setNull(1, Types.DATE));
        parameter(connection, "SELECT ?::time", s -> s.setTime(1, Time.valueOf("12:34:56")), s -> s.setObject(1, LocalTime.of(12, 34, 56, 789000)));
        parameter(connection, "SELECT ?::timestamp", s -> s.setTimestamp(1, Timestamp.valueOf("2024-02-29 01:02:03.000004")), s -> s.setObject(1, LocalDateTime.of(2024, 2, 29, 1, 2, 3)), s -> s.setNull(1, Types.TIMESTAMP));
        parameter(connection, "SELECT ?::timestamptz", s -> s.setTimestamp(1, Timestamp.valueOf("2024-02-29 01:02:03")), s -> s.setObject(1, moment));
        parameter(connection, "SELECT ?::interval", s -> s.setObject(1, new PGInterval(0, 1, 2, 3, 4, 5.5)));
        parameter(connection, "SELECT ?::uuid", s -> s.setObject(1, new UUID(0, 7)));
        parameter(connection, "SELECT ?::jsonb", s -> s.setObject(1, json("{\"a\": 1}")));
        parameter(connection, "SELECT ?::int4[]", s -> s.setArray(1, connection.createArrayOf("int4", new Integer[] {1, null, 3})));
        parameter(connection, "SELECT ?::text[]", s -> s.setArray(1, connection.createArrayOf("text", new String[] {"a", "b\"c", null})));
        parameter(connection, "SELECT name FROM customers WHERE id = ?", s -> s.setInt(1, 5), s -> s.setLong(1, 5), s -> s.setObject(1, new BigDecimal(5)));
        parameter(connection, "SELECT count(*) FROM customers WHERE joined >= ?", s -> s.setDate(1, Date.valueOf("2022-01-01")), s -> s.setObject(1, LocalDate.of(2022, 1, 1)), s -> s.setTimestamp(1, Timestamp.valueOf("2022-01-01 00:00:00")));
        parameter(connection, "SELECT count(*) FROM orders WHERE ordered_at < ? AND amount > ?", s -> { s.setTimestamp(1, Timestamp.valueOf("2024-02-01 00:00:00")); s.setBigDecimal(2, new BigDecimal("150.5")); });
        parameter(connection, "SELECT id FROM customers WHERE id = ANY(?) ORDER BY id LIMIT ?", s -> { s.setArray(1, connection.createArrayOf("int8", new Long[] {3L, 1L, 2L})); s.setInt(2, 2); });
        parameter(connection, "SELECT CASE WHEN id = ? THEN ? ELSE 'no' END FROM customers WHERE id < 3 ORDER BY id", s -> { s.setInt(1, 1); s.setString(2, "yes"); });
        parameter(connection, "SELECT id FROM customers WHERE city IN (?, ?) AND name LIKE ? ORDER BY id LIMIT 2", s -> { s.setString(1, "Oslo"); s.setString(2, "Lima"); s.setString(3, "Customer 1%"); });
    }

    private static PGobject json(String text) throws SQLException {
        PGobject value = new PGobject();
        value.setType("jsonb");
        value.setValue(text);
        return value;
    }

    static void parameters() throws Exception {
        try (Connection connection = open()) {
            parameters(connection);
        }
    }

    static void parameters_unspecified() throws Exception {
        try (Connection connection = open("stringtype", "unspecified", "prepareThreshold", "1")) {
            parameters(connection);
            parameter(connection, "SELECT count(*) FROM customers WHERE joined >= ? AND id > ?", s -> { s.setString(1, "2022-01-01"); s.setString(2, "10"); });
        }
    }

    static void parameters_simple() throws Exception {
        try (Connection connection = open("preferQueryMode", "simple")) {
            parameters(connection);
        }
    }

    static void parameters_described() throws Exception {
        try (Connection connection = open()) {
            for (String sql : List.of("SELECT name FROM customers WHERE id = ?", "SELECT ?::numeric + 1, ?::date", "SELECT id FROM lines LIMIT ?", "SELECT 1 WHERE ? = ANY(?::text[])")) {
                line(sql, attempt(() -> {
                    try (PreparedStatement statement = connection.prepareStatement(sql)) {
                        ParameterMetaData about = statement.getParameterMetaData();
                        List<String> found = new ArrayList<>();
                        for (int i = 1; i <= about.getParameterCount(); i++) {
                            found.add(about.getParameterTypeName(i) + " " + about.getParameterType(i) + " " + about.getParameterClassName(i));
                        }
                        return found;
                    }
                }));
            }
        }
    }

    private static void kinds(String... options) throws Exception {
        try (Connection connection = open(options)) {
            answers("kind", kind -> {
                try (PreparedStatement statement = connection.prepareStatement("SELECT " + kind)) {
                    String first = rows(statement.executeQuery());
                    return first + " / " + text(statement.executeQuery());
                }
            });
        }
    }

    private static String text(ResultSet result) throws SQLException {
        result.next();
        return result.getString(1);
    }

    static void types_text() throws Exception {
        kinds("binaryTransfer", "false");
    }

    static void types_binary() throws Exception {
        kinds("prepareThreshold", "-1");
    }

    static void prepared() throws Exception {
        try (Connection connection = open("prepareThreshold", "5", "preparedStatementCacheQueries", "2");
             PreparedStatement statement = connection.prepareStatement("SELECT id, name, joined, ?::numeric, note FROM customers WHERE id = ?")) {
            for (int i = 1; i <= REUSES; i++) {
                statement.setBigDecimal(1, new BigDecimal(i + ".50"));
                statement.setInt(2, i);
                line("execution " + i, rows(statement.executeQuery()));
            }
            for (int i = 1; i <= REUSES; i++) { // another type for the same parameter: it is parsed again
                statement.setString(1, "2");
                statement.setLong(2, i);
                line("again " + i, attempt(() -> rows(statement.executeQuery())));
            }
            for (int i = 0; i < 3 * REUSES; i++) { // more statements than the driver keeps: it closes the oldest
                ask(connection, "SELECT " + i % 4);
            }
        }
    }

    private static void inOrder(ResultSet result) throws SQLException {
        int expected = 0;
        while (result.next()) {
            expected++;
            check(result.getLong(1) == expected && result.getString(2).equals("line " + expected), "row " + expected + " is " + result.getLong(1));
        }
        check(expected == LINES, expected + " rows");
    }

    static void cursor() throws Exception {
        try (Connection connection = open()) {
            connection.setAutoCommit(false);
            try (PreparedStatement statement = connection.prepareStatement("SELECT id, label FROM lines WHERE id > ? ORDER BY id")) {
                statement.setFetchSize(FETCH);
                for (int round = 0; round < 2; round++) {
                    statement.setInt(1, 0);
                    inOrder(statement.executeQuery());
                }
            }
            try (PreparedStatement statement = connection.prepareStatement("SELECT id, label FROM lines ORDER BY id")) {
                statement.setFetchSize(FETCH);
                ResultSet early = statement.executeQuery(); // left in the middle
                early.next();
                early.close();
                check(rows(connection.createStatement().executeQuery("SELECT 1")).equals("Integer 1"), "after an abandoned portal");
            }
            connection.commit();
        }
    }

    static void cursor_adaptive() throws Exception {
        try (Connection connection = open("defaultRowFetchSize", "500", "adaptiveFetch", "true", "maxResultBuffer", "10M")) {
            connection.setAutoCommit(false);
            inOrder(connection.createStatement().executeQuery("SELECT id, label FROM lines ORDER BY id"));
        }
    }

    static void copy() throws Exception {
        try (Connection connection = open()) {
            CopyManager copies = connection.unwrap(PGConnection.class).getCopyAPI();
            for (String options : List.of("", "(FORMAT csv, HEADER true, DELIMITER ';')", "(FORMAT csv, FORCE_QUOTE *)")) {
                StringWriter sink = new StringWriter();
                copies.copyOut("COPY (SELECT * FROM kinds ORDER BY id) TO STDOUT " + options, sink);
                line(options, sink.toString());
            }
            ByteArrayOutputStream sink = new ByteArrayOutputStream();
            copies.copyOut("COPY (SELECT * FROM kinds ORDER BY id) TO STDOUT (FORMAT binary)", sink);
            line("binary", spell(sink.toByteArray()));
            line("rows", String.valueOf(copies.copyOut("COPY lines TO STDOUT", new StringWriter())));
            line("failed", attempt(() -> copies.copyOut("COPY no_such TO STDOUT", new StringWriter())));
        }
    }

    static void cancel() throws Exception {
        try (Connection connection = open(); Statement statement = connection.createStatement()) {
            Thread stopper = new Thread(() -> attempt(() -> {
                Thread.sleep(700);
                statement.cancel();
                return "";
            }));
            stopper.start();
            line("canceled", attempt(() -> statement.executeQuery(ENV.get("ENDLESS"))));
            stopper.join();
            statement.setQueryTimeout(1);
            line("timeout", attempt(() -> statement.executeQuery(ENV.get("ENDLESS"))));
            line("alive", ask(connection, "SELECT 1"));
        }
    }

    static void errors() throws Exception {
        try (Connection connection = open()) {
            answers("error", sql -> ask(connection, sql));
        }
    }

    static void transactions() throws Exception {
        try (Connection connection = open()) {
            connection.setAutoCommit(false);
            connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            line("isolation", connection.getTransactionIsolation() + " " + ask(connection, "SHOW transaction_isolation"));
            line("error", attempt(() -> ask(connection, "SELECT 1/0")));
            line("refused", attempt(() -> ask(connection, "SELECT 1")));
            connection.rollback();
            Savepoint kept = connection.setSavepoint("kept");
            line("bad", attempt(() -> ask(connection, "SELECT no_such FROM customers")));
            connection.rollback(kept);
            connection.releaseSavepoint(kept);
            line("back", ask(connection, "SELECT 2"));
            connection.commit();
            connection.setReadOnly(true);
            line("read only", ask(connection, "SHOW transaction_read_only"));
            connection.commit();
            connection.setAutoCommit(true);
        }
        try (Connection connection = open("autosave", "always")) {
            connection.setAutoCommit(false);
            line("autosave error", attempt(() -> ask(connection, "SELECT 1/0")));
            line("autosave", ask(connection, "SELECT 3"));
            connection.rollback();
        }
    }

    /** Every method without parameters that says something of the server, then the others with the usual arguments. */
    static void metadata() throws Exception {
        Set<String> left = Set.of("getConnection", "getURL", "getDatabaseProductVersion", "getDatabaseMinorVersion", "getDriverName",
            "getDriverVersion", "getDriverMajorVersion", "getDriverMinorVersion", "getCatalogs", "getTypeInfo", "getClientInfoProperties");
        try (Connection connection = open()) {
            DatabaseMetaData about = connection.getMetaData();
            Method[] methods = DatabaseMetaData.class.getMethods();
            Arrays.sort(methods, Comparator.comparing(Method::getName));
            for (Method method : methods) {
                if (method.getParameterCount() == 0 && !left.contains(method.getName())) {
                    line(method.getName(), attempt(() -> {
                        Object found = method.invoke(about);
                        return found instanceof ResultSet ? rows((ResultSet) found) : found;
                    }));
                }
            }
            check(rows(about.getCatalogs()).contains("loyalhouse"), "no catalog loyalhouse");
            line("tables", rows(about.getTables(null, "public", "%", new String[] {"TABLE", "VIEW"})));
            line("tables of all schemas", rows(about.getTables("loyalhouse", null, "%", new String[] {"TABLE"})));
            line("system tables", rows(about.getTables(null, "pg_catalog", "pg\\_class", null), "REMARKS"));
            line("columns", rows(about.getColumns(null, "public", "kinds", "%")));
            line("columns by pattern", rows(about.getColumns(null, "p%", "cust%", "%n%")));
            line("primary keys", rows(about.getPrimaryKeys(null, "public", "customers")));
            line("imported keys", rows(about.getImportedKeys(null, "public", "orders")));
            line("exported keys", rows(about.getExportedKeys(null, "public", "customers")));
            line("cross reference", rows(about.getCrossReference(null, "public", "customers", null, "public", "orders")));
            line("indexes", rows(about.getIndexInfo(null, "public", "customers", false, true)));
            line("best row", rows(about.getBestRowIdentifier(null, "public", "customers", DatabaseMetaData.bestRowSession, true)));
            line("versions", rows(about.getVersionColumns(null, "public", "customers")));
            line("procedures", rows(about.getProcedures(null, "pg_catalog", "make\\_date"), "REMARKS"));
            line("procedure columns", rows(about.getProcedureColumns(null, "pg_catalog", "make\\_date", "%")));
            line("functions", rows(about.getFunctions(null, "pg_catalog", "lower"), "REMARKS"));
            line("function columns", rows(about.getFunctionColumns(null, "pg_catalog", "upper", "%"), "SPECIFIC_NAME"));
            line("user types", rows(about.getUDTs(null, "public", "%", null)));
            line("schemas", rows(about.getSchemas(null, "p%")));
            line("attributes", attempt(() -> rows(about.getAttributes(null, "public", "%", "%"))));
            line("super tables", attempt(() -> rows(about.getSuperTables(null, "public", "%"))));
            line("super types", attempt(() -> rows(about.getSuperTypes(null, "public", "%"))));
            line("pseudo columns", attempt(() -> rows(about.getPseudoColumns(null, "public", "%", "%"))));
            about.getTablePrivileges(null, "public", "customers").close();
            about.getColumnPrivileges(null, "public", "customers", "%").close();
            about.getClientInfoProperties().close();
            typeNames(about);
        }
    }

    private static void typeNames(DatabaseMetaData about) throws SQLException {
        Set<String> wanted = Set.of("bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bpchar", "bytea",
            "date", "time", "timetz", "timestamp", "timestamptz", "interval", "uuid", "json", "jsonb", "_int4", "_text", "oid", "name");
        List<String> found = new ArrayList<>();
        ResultSet types = about.getTypeInfo();
        while (types.next()) {
            if (wanted.contains(types.getString("TYPE_NAME"))) {
                found.add(types.getString("TYPE_NAME") + " " + types.getInt("DATA_TYPE") + " " + types.getInt("PRECISION") + " "
                    + types.getBoolean("CASE_SENSITIVE") + " " + types.getInt("SEARCHABLE") + " " + types.getBoolean("UNSIGNED_ATTRIBUTE"));
            }
        }
        found.sort(null);
        line("type info", String.join("\n", found));
    }

    /** ResultSetMetaData of all kinds and of a table's columns. */
    static void metadata_results() throws Exception {
        try (Connection connection = open()) {
            answers("kind", kind -> describe(connection, "SELECT " + kind));
            answers("query", sql -> describe(connection, sql));
        }
    }

    private static String describe(Connection connection, String sql) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            ResultSetMetaData about = statement.getMetaData();
            List<String> found = new ArrayList<>();
            for (int i = 1; i <= about.getColumnCount(); i++) {
                found.add(String.join(" ", about.getColumnLabel(i), about.getColumnTypeName(i), "" + about.getColumnType(i), about.getColumnClassName(i),
                    about.getPrecision(i) + "." + about.getScale(i), "" + about.getColumnDisplaySize(i), "" + about.isSigned(i), "" + about.isNullable(i),
                    "" + about.isAutoIncrement(i), "[" + about.getTableName(i) + "]", "" + about.isCaseSensitive(i)));
            }
            return String.join("\n", found);
        }
    }
}
