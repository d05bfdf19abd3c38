import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Timestamp;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/**
 * Asks SQL over the PostgreSQL wire through JDBC, as BI tools and IDEs do, and prints what it saw, a line of JSON each.
 *
 * <p>{@code java -cp postgresql.jar Sql.java HOST:PORT USER PASSWORD <queries}. A line of the queries is a text of SQL and its parameters, apart by
 * tabs; a parameter is {@code string:…}, {@code long:…}, {@code double:…}, {@code boolean:…}, {@code timestamp:RFC 3339} or {@code strings:a,b}. Each is
 * asked in each mode of the driver, six times, for it prepares a statement on the server at the fifth. Then come what pools of
 * connections do, and the questions of {@code DatabaseMetaData} about the schema haldane.
 */
public final class Sql {
    private static final int TIMES = 6;

    private interface Ask {
        String answer() throws Exception;
    }

    public static void main(String[] words) throws Exception {
        List<String> queries = new ArrayList<>();
        try (var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            input.lines().filter(line -> !line.isBlank()).forEach(queries::add);
        }
        String address = "jdbc:postgresql://" + words[0] + "/haldane";
        for (String mode : new String[] {"extended", "extendedForPrepared", "simple"}) {
            try (var connection = connect(address, words, mode)) {
                for (String query : queries) {
                    say(mode, query, () -> repeated(connection, query));
                }
            }
        }
        // Rows are fetched through a portal, some at a time.
        try (var connection = connect(address, words, "extended")) {
            connection.setAutoCommit(false);
            for (String query : queries) {
                say("portal", query, () -> ask(connection, query, 2));
                // A failed statement spoils its transaction.
                connection.rollback();
            }
        }
        try (var connection = connect(address, words, "extended")) {
            var about = connection.getMetaData();
            say("metadata", "product", () -> text(about.getDatabaseProductName() + " " + about.getDatabaseProductVersion()));
            // What pools of connections do to one that they hand out.
            say("session", "valid", () -> String.valueOf(connection.isValid(5)));
            say("session", "isolation", () -> String.valueOf(connection.getTransactionIsolation()));
            say("session", "schema", () -> text(String.valueOf(connection.getSchema())));
            say("session", "schema set", () -> {
                connection.setSchema("haldane");
                return text(String.valueOf(connection.getSchema()));
            });
            say("session", "read only", () -> {
                connection.setReadOnly(true);
                connection.setAutoCommit(false);
                String answer = ask(connection, "SELECT 1 AS one", 0);
                connection.commit();
                connection.setAutoCommit(true);
                connection.setReadOnly(false);
                return answer;
            });
            say("metadata", "schemas", () -> rows(about.getSchemas()));
            say("metadata", "catalogs", () -> rows(about.getCatalogs()));
            say("metadata", "table types", () -> rows(about.getTableTypes()));
            say("metadata", "tables", () -> rows(about.getTables(null, "haldane", "%", new String[] {"TABLE", "VIEW"})));
            say("metadata", "columns", () -> rows(about.getColumns(null, "haldane", "red", "%")));
            say("metadata", "keys", () -> rows(about.getPrimaryKeys(null, "haldane", "red")));
            say("metadata", "indexes", () -> rows(about.getIndexInfo(null, "haldane", "red", false, false)));
            say("metadata", "imported keys", () -> rows(about.getImportedKeys(null, "haldane", "red")));
            say("metadata", "functions", () -> rows(about.getFunctions(null, "pg_catalog", "version")));
            say("metadata", "types", () -> rows(about.getTypeInfo()));
        }
    }

    private static Connection connect(String address, String[] words, String mode) throws SQLException {
        var settings = new Properties();
        settings.setProperty("user", words[1]);
        settings.setProperty("password", words.length > 2 && !words[2].isEmpty() ? words[2] : "x");
        settings.setProperty("preferQueryMode", mode);
        settings.setProperty("ApplicationName", "Sql.java");
        settings.setProperty("socketTimeout", "60");
        return DriverManager.getConnection(address, settings);
    }

    private static String repeated(Connection connection, String query) throws SQLException {
        // The statement is kept, for the driver counts by statement.
        String[] parts = query.split("\t");
        try (var statement = connection.prepareStatement(parts[0])) {
            bind(connection, statement, parts);
            String answer = "";
            for (int time = 0; time < TIMES; time++) {
                answer = rows(statement.executeQuery());
            }
            return answer;
        }
    }

    private static String ask(Connection connection, String query, int fetched) throws SQLException {
        String[] parts = query.split("\t");
        try (var statement = connection.prepareStatement(parts[0])) {
            statement.setFetchSize(fetched);
            bind(connection, statement, parts);
            return rows(statement.executeQuery());
        }
    }

    private static void bind(Connection connection, PreparedStatement statement, String[] parts) throws SQLException {
        for (int at = 1; at < parts.length; at++) {
            String kind = parts[at].substring(0, parts[at].indexOf(':'));
            String value = parts[at].substring(kind.length() + 1);
            switch (kind) {
                case "string" -> statement.setString(at, value);
                case "long" -> statement.setLong(at, Long.parseLong(value));
                case "double" -> statement.setDouble(at, Double.parseDouble(value));
                case "boolean" -> statement.setBoolean(at, Boolean.parseBoolean(value));
                case "timestamp" -> statement.setTimestamp(at, Timestamp.from(Instant.parse(value)));
                case "strings" -> statement.setArray(at, connection.createArrayOf("text", value.split(",")));
                default -> throw new IllegalArgumentException(kind);
            }
        }
    }

    private static String rows(ResultSet result) throws SQLException {
        ResultSetMetaData about = result.getMetaData();
        List<String> rows = new ArrayList<>();
        while (result.next()) {
            List<String> fields = new ArrayList<>();
            for (int at = 1; at <= about.getColumnCount(); at++) {
                fields.add(text(about.getColumnLabel(at)) + ": " + json(result.getObject(at)));
            }
            rows.add("{" + String.join(", ", fields) + "}");
        }
        return "[" + String.join(", ", rows) + "]";
    }

    private static String json(Object value) throws SQLException {
        if (value == null || value instanceof Boolean) {
            return String.valueOf(value);
        }
        if (value instanceof Number number) {
            return Double.isFinite(number.doubleValue()) ? number.toString() : text(number.toString());
        }
        if (value instanceof Timestamp at) {
            return text(at.toInstant().toString());
        }
        return text(value instanceof Array array ? array.toString() : value.toString());
    }

    private static void say(String mode, String name, Ask ask) {
        String line = "{\"mode\": " + text(mode) + ", \"name\": " + text(name.split("\t")[0]);
        try {
            line += ", \"answer\": " + ask.answer();
        } catch (SQLException error) {
            line += ", \"code\": " + text(String.valueOf(error.getSQLState())) + ", \"error\": " + text(String.valueOf(error.getMessage()));
        } catch (Exception error) {
            line += ", \"error\": " + text(error.toString());
        }
        System.out.println(line + "}");
    }

    private static String text(String raw) {
        var quoted = new StringBuilder("\"");
        for (char each : raw.toCharArray()) {
            switch (each) {
                case '"' -> quoted.append("\\\"");
                case '\\' -> quoted.append("\\\\");
                default -> quoted.append(each < ' ' ? String.format("\\u%04x", (int) each) : String.valueOf(each));
            }
        }
        return quoted.append('"').toString();
    }
}
