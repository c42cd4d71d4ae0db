# Ruby's pg; prints answers as programs.py reads them.
require "pg"
require "bigdecimal"

class Suite
  def initialize(name)
    @name = name
  end

  def line(question, answer)
    escaped = [question, answer].map { |text| text.to_s.gsub("\\", "\\\\\\\\").gsub("\t", "\\t").gsub("\n", "\\n").gsub("\r", "\\r") }
    puts [@name, *escaped].join("\t")
  end

  def opened(mapped: true)
    connection = PG.connect(host: ENV["SERVER_HOST"], port: ENV["SERVER_PORT"], user: "analyst", dbname: "loyalhouse",
                            application_name: ENV["APPLICATION"], options: "-c TimeZone=#{ENV["TIME_ZONE"]}")
    connection.type_map_for_results = PG::BasicTypeMapForResults.new(connection) if mapped
    connection
  end

  def spell(value)
    case value
    when nil then "NULL"
    when String then value.encoding == Encoding::BINARY ? "bytes #{value.unpack1("H*")}" : "String #{value}"
    when BigDecimal then "BigDecimal #{value.to_s("F")}"
    when Time then "Time #{value.getutc.strftime("%F %T.%6N")}"
    when Array then "[#{value.map { |item| spell(item) }.join(", ")}]"
    else "#{value.class} #{value}"
    end
  end

  def rows(result) = result.values.map { |row| row.map { |value| spell(value) }.join(" | ") }.join("\n")

  def attempt
    yield
  rescue PG::Error => error
    "! #{error.class} #{error.result&.error_field(PG::PG_DIAG_SQLSTATE)}"
  end

  def answers(section)
    File.foreach(ENV["QUESTIONS"], chomp: true) do |text|
      kind, question, sql = text.split("\t")
      line(question, attempt { yield sql }) if kind == section
    end
  end

  def connect
    connection = opened
    line("version", connection.server_version / 10_000)
    line("asked", rows(connection.exec("SELECT current_user, current_setting('application_name'), current_setting('TimeZone')")))
    connection.reset
    line("reset", rows(connection.exec("SELECT 1")))
  end

  def query
    connection = opened
    answers("query") { |sql| rows(connection.exec(sql)) }
  end

  def types_text
    connection = opened
    answers("kind") { |kind| rows(connection.exec_params("SELECT #{kind}", [])) }
  end

  def types_binary
    connection = opened
    answers("kind") { |kind| rows(connection.exec_params("SELECT #{kind}", [], 1)) }
  end

  def parameters
    connection = opened
    connection.type_map_for_queries = PG::BasicTypeMapForQueries.new(connection)
    { "SELECT $1::int4 + 1" => [41], "SELECT $1::float8" => [1.5], "SELECT $1::bool" => [true], "SELECT $1::text" => ["it's"], "SELECT $1::text[]" => [%w[a b"c]],
      "SELECT $1::int8[]" => [[1, nil, 3]], "SELECT $1::numeric" => [BigDecimal("-12.3450")], "SELECT $1::timestamptz" => [Time.utc(2024, 2, 29, 1, 2, 3)],
      "SELECT name FROM customers WHERE id = $1" => [5], "SELECT count(*) FROM customers WHERE city = ANY($1)" => [%w[Oslo Lima]],
      "SELECT id FROM customers ORDER BY id LIMIT $1" => [2], "SELECT $1::json" => [{ "a" => 1 }] }.each do |sql, values|
      line(sql, attempt { rows(connection.exec_params(sql, values)) })
    end
  end

  def prepared
    connection = opened
    connection.prepare("by id", "SELECT id, name, joined FROM customers WHERE id = $1")
    (1..ENV["REUSES"].to_i).each { |id| line("execution #{id}", rows(connection.exec_prepared("by id", [id]))) }
    line("described", connection.describe_prepared("by id").nfields)
  end

  def cursor
    connection = opened
    expected = 0
    connection.send_query("SELECT id, label FROM lines ORDER BY id")
    connection.set_single_row_mode
    connection.get_result.stream_each_row do |id, label|
      expected += 1
      raise "row #{expected} is #{id}" unless id == expected && label == "line #{expected}"
    end
    raise "#{expected} rows" unless expected == ENV["LINES"].to_i
  end

  def copy
    connection = opened
    ["", "(FORMAT csv, HEADER)", "(FORMAT binary)"].each do |options|
      text = "".b
      connection.copy_data("COPY (SELECT * FROM kinds ORDER BY id) TO STDOUT #{options}") do
        while (block = connection.get_copy_data)
          text << block.b
        end
      end
      line("copy #{options}", text.unpack1("H*"))
    end
  end

  def cancel
    connection = opened
    stopper = Thread.new { sleep 0.5; connection.cancel }
    line("canceled", attempt { rows(connection.exec(ENV["ENDLESS"])) })
    stopper.join
    line("alive", rows(connection.exec("SELECT 1")))
  end

  def errors
    connection = opened
    answers("error") { |sql| rows(connection.exec(sql)) }
  end

  def transactions
    connection = opened
    line("error", attempt { connection.transaction { connection.exec("SELECT 1/0") } })
    line("after", "#{connection.transaction_status} #{rows(connection.exec("SELECT 2"))}")
  end

  def metadata
    connection = opened(mapped: false)
    answers("kind") do |kind|
      result = connection.exec("SELECT #{kind}")
      "#{result.fname(0)} #{result.ftype(0)} #{result.fmod(0)} #{result.fsize(0)}"
    end
  end
end

$stdout.sync = true
ARGV.each do |name|
  suite = Suite.new(name)
  suite.public_send(name)
  suite.line("=ok", "")
rescue StandardError => error
  suite.line("=error", "#{error.class} #{error.message}")
end
