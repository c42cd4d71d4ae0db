"""Ruby's pg with its maps of types, which it builds from pg_type: ruby_pg.rb."""
import programs

NAMES = ["connect", "query", "parameters", "types_text", "types_binary", "prepared", "cursor", "copy", "cancel", "errors",
         "transactions", "metadata"]


def cases():
    return programs.cases(NAMES, lambda context: ["ruby", programs.HERE / "ruby_pg.rb"])
