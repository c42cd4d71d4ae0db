# Perl's DBD::Pg; prints answers as programs.py reads them.
use strict;
use warnings;
use DBI qw(:sql_types);
use DBD::Pg qw(:pg_types :async);
binmode STDOUT, ':encoding(UTF-8)';

my $running;

sub line {
    my @fields = @_;
    for (@fields) { s/\\/\\\\/g; s/\t/\\t/g; s/\n/\\n/g; s/\r/\\r/g }
    print join("\t", $running, @fields), "\n";
}

sub opened {
    my $db = DBI->connect("dbi:Pg:host=$ENV{SERVER_HOST};port=$ENV{SERVER_PORT};dbname=loyalhouse;application_name='$ENV{APPLICATION}';options='-c TimeZone=$ENV{TIME_ZONE}'",
        'analyst', '', { RaiseError => 1, PrintError => 0, PrintWarn => 0, pg_enable_utf8 => 1, @_ });
    return $db;
}

sub spell { my $v = shift; return !defined $v ? 'NULL' : ref $v eq 'ARRAY' ? '[' . join(', ', map { spell($_) } @$v) . ']' : "$v" }
sub rows { my $found = shift; return join "\n", map { join ' | ', map { spell($_) } @$_ } @$found }
sub ask { my ($db, $sql, @values) = @_; return rows($db->selectall_arrayref($sql, undef, @values)) }
sub attempt { my $code = shift; my $found = eval { $code->() }; return $@ ? '! ' . ($DBI::state || 'error') : $found }

sub answers {
    my ($section, $code) = @_;
    open my $file, '<:encoding(UTF-8)', $ENV{QUESTIONS} or die "no questions: $!";
    while (<$file>) {
        chomp;
        my @fields = split /\t/;
        next unless @fields == 3 && $fields[0] eq $section;
        line($fields[1], attempt(sub { $code->($fields[2]) }));
    }
}

my %cases = (
    connect => sub {
        my $db = opened();
        die 'version' unless int($db->{pg_server_version} / 10000) == 15;
        line('asked', ask($db, "SELECT current_user, current_setting('application_name'), current_setting('TimeZone')"));
        line('ping', $db->ping);
    },
    query => sub { my $db = opened(); answers('query', sub { ask($db, shift) }) },
    types_text => sub { my $db = opened(); answers('kind', sub { ask($db, 'SELECT ' . shift) }) },
    parameters => sub {
        my $db = opened();
        for my $each (['SELECT ?::int4 + 1', 41], ['SELECT ?::numeric', '-12.3450'], ['SELECT ?::text', "it's \\ here"], ['SELECT ?::date', '2024-02-29'],
            ['SELECT ?::bool', undef], ['SELECT ?::text[]', ['a', 'b"c', undef]], ['SELECT name FROM customers WHERE id = ?', 5],
            ['SELECT count(*) FROM customers WHERE joined >= ? AND city = ?', '2022-01-01', 'Oslo'], ['SELECT id FROM customers ORDER BY id LIMIT ?', 2]) {
            my ($sql, @values) = @$each;
            line($sql, attempt(sub { ask($db, $sql, @values) }));
        }
        my $bytes = $db->prepare('SELECT ?::bytea');
        $bytes->bind_param(1, "\x00\xff", { pg_type => PG_BYTEA });
        $bytes->execute;
        line('bytea', unpack 'H*', $bytes->fetchrow_arrayref->[0]);
    },
    prepared => sub {
        my $db = opened(pg_server_prepare => 1, pg_switch_prepared => 1);
        my $by_id = $db->prepare('SELECT id, name, joined FROM customers WHERE id = ?');
        for my $id (1 .. $ENV{REUSES}) { $by_id->execute($id); line("execution $id", rows($by_id->fetchall_arrayref)) }
    },
    cursor => sub {
        my $db = opened(AutoCommit => 0);
        $db->do('DECLARE page CURSOR FOR SELECT id, label FROM lines ORDER BY id');
        my $expected = 0;
        while (my @page = @{ $db->selectall_arrayref('FETCH 1000 FROM page') }) {
            for (@page) { $expected++; die "row $expected" unless $_->[0] == $expected && $_->[1] eq "line $expected" }
        }
        die "$expected rows" unless $expected == $ENV{LINES};
        $db->rollback;
    },
    copy => sub {
        my $db = opened();
        for my $options ('', '(FORMAT csv, HEADER)') {
            $db->do("COPY (SELECT * FROM kinds ORDER BY id) TO STDOUT $options");
            my ($text, $row) = ('');
            $text .= $row while $db->pg_getcopydata($row) >= 0;
            line("copy $options", $text);
        }
    },
    cancel => sub {
        my $db = opened();
        $db->do($ENV{ENDLESS}, { pg_async => PG_ASYNC });
        select undef, undef, undef, 0.5;
        line('canceled', attempt(sub { $db->pg_cancel }));
        line('alive', ask($db, 'SELECT 1'));
    },
    errors => sub { my $db = opened(); answers('error', sub { ask($db, shift) }) },
    transactions => sub {
        my $db = opened(AutoCommit => 0);
        $db->do('SELECT 1');
        $db->pg_savepoint('a');
        line('bad', attempt(sub { ask($db, 'SELECT no_such FROM customers') }));
        line('refused', attempt(sub { ask($db, 'SELECT 1') }));
        $db->pg_rollback_to('a');
        line('back', ask($db, 'SELECT 2') . ' ' . $db->ping);
        $db->commit;
        line('after', $db->ping);
    },
    metadata => sub {
        my $db = opened();
        my $picked = sub { my ($handle, @names) = @_; $handle or return 'none'; return rows([map { my $row = $_; [map { $row->{$_} } @names] } @{ $handle->fetchall_arrayref({}) }]) };
        line('tables', $picked->($db->table_info(undef, 'public', '%', 'TABLE'), qw(TABLE_SCHEM TABLE_NAME TABLE_TYPE REMARKS)));
        line('columns', $picked->($db->column_info(undef, 'public', 'kinds', '%'),
            qw(COLUMN_NAME DATA_TYPE TYPE_NAME COLUMN_SIZE DECIMAL_DIGITS NULLABLE COLUMN_DEF ORDINAL_POSITION IS_NULLABLE pg_type)));
        line('primary key', $picked->($db->primary_key_info(undef, 'public', 'customers'), qw(COLUMN_NAME)));
        line('foreign keys', $picked->($db->foreign_key_info(undef, 'public', 'customers', undef, 'public', 'orders'), qw(FK_COLUMN_NAME)));
        line('statistics', $picked->($db->statistics_info(undef, 'public', 'customers', 0, 0), qw(TYPE INDEX_NAME)));
        answers('kind', sub { my $handle = $db->prepare('SELECT ' . shift); $handle->execute; join ' ', $handle->{NAME}[0], $handle->{pg_type}[0], $handle->{TYPE}[0] // '-', map { $_ // '-' } $handle->{PRECISION}[0], $handle->{SCALE}[0] });
    },
);

for my $name (@ARGV) {
    $running = $name;
    eval { $cases{$name}->(); line('=ok', ''); 1 } or line('=error', "$@");
}
