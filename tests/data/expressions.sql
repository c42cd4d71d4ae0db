-- Expressions whose value, type, name and bytes are compared with PostgreSQL 15; one a line.
-- number constants
1
-1
2147483647
-2147483648
2147483648
9223372036854775807
-9223372036854775808
9223372036854775808
1.5
-1.50
.5
1e3
1.5e-3
12345678901234567890.123456789
-0.0
0
-- arithmetic of whole numbers
1+1
1+2147483648
1::smallint+1::smallint
1::smallint+1
2147483647+1
-2147483648-1
65536*65536
9223372036854775807+1
7/2
-7/2
7%3
-7%3
7 % -3
1/0
1%0
(-2147483648)/(-1)
32767::int2*2::int2
+5
-(-5)
-- numeric
1.5+1
1.5+1.25
1.50-1.5
1.5*2
1.50*1.50
0.1+0.2
1/3.0
10/4.0
100/3.0
1.0/1.0
10.0/5
22/7.0
2.0/3
0.0/5
1.0/0
5.5%2
-5.5%2
1.5%0
1e10/3
1/1e10
123456789.123/0.001
99999999999999999999*99999999999999999999
1.5=1.50
1.5<2
2>1.5
0.1::float8=0.1
-- float
1.5::float8
0.1::float8+0.2::float8
1::float8/3
1::float4/3::float4
1.5+1.5::float8
1::float4+1
1::float4+1::float8
1.0::float8/0
'NaN'::float8
'Infinity'::float8
'-Infinity'::float8
1e300::float8*1e300::float8
1e-300::float8*1e-300::float8
0.1::float4
1e20::float8
1e15::float8
1e-5::float8
123456789.123456789::float8
-0.0::float8
3.14::real
1.25e+300::float8
-1e300::float8
(1e-300)::float8
1e300
-- power and functions
2^3
2^0.5
2.0^3
2 ^ -1
power(2,3)
power(2.0,3)
sqrt(4)
sqrt(2.0)
sqrt(2::float8)
sqrt(-1)
sqrt(16.0)
exp(1)
exp(1.0)
ln(2)
ln(2.0)
ln(0)
log(100)
log(100.0)
log(2.0,8.0)
abs(-1)
abs(-1.5)
abs(-1.5::float8)
abs((-1)::bigint)
sign(-5)
sign(-5.5)
round(2.5)
round(3.5)
round(-2.5)
round(2.5::float8)
round(3.5::float8)
round(1.2345,2)
round(1.235,2)
round(1250,-2)
round(5)
round(1.2345::float8)
round(42.4382,2)
trunc(1.999)
trunc(-1.999)
trunc(1.999::float8)
trunc(1.999,2)
ceil(1.2)
ceil(-1.2)
ceiling(1.2::float8)
floor(1.7)
floor(-1.7)
floor(1.7::float8)
floor(5)
mod(7,3)
mod(7.5,2)
mod(-7,3)
div(7,2)
div(7.5,2)
pi()
degrees(1.0)
radians(180)
sin(1)
cos(0)
greatest(1,2,3)
greatest(1,2.5)
least(1,2)
coalesce(null,1)
coalesce(null,1.5)
nullif(1,1)
nullif(1,2)
-- casts between numbers
1::int2
1::int8
1::numeric
1::float8
1::float4
1::numeric(10,2)
1.5::int
2.5::int
-2.5::int
0.5::int
1.5::float8::int
2.5::float8::int
3.5::float8::int
-2.5::float8::int
2147483648::int
32768::int2
1e10::int
1e20::bigint
1e10::float8::int
'NaN'::float8::int
1.255::numeric(10,2)
1.245::numeric(10,2)
-1.255::numeric(10,2)
12345.678::numeric(5,2)
123.456::numeric(5)
1.5::numeric
0.1::float8::numeric
1e10::float8::numeric
123.456::float4::numeric
1.0::float8::numeric
3.14159265358979::float8::numeric(6,3)
1::bool
0::bool
true::int
1.5::text
1.50::text
1::text
1.5::float8::text
true::text
(1.0/3)::text
-- text to numbers
'1'::int
' 42 '::int
'x'::int
''::int
'1.5'::int
'99999999999'::int
'-32769'::int2
'9223372036854775808'::bigint
'1.5'::numeric
'1.50'::numeric
'1.555'::numeric(5,2)
'abc'::numeric
'1e3'::numeric
'NaN'::numeric
'1e5'::float8
'x'::float8
'1e400'::float8
'1.5'::real
'yes'::bool
't'::bool
'off'::bool
'maybe'::bool
'1'::bool
-- text
'abc'
'abc'::text
'abc'::varchar
'abc'::varchar(2)
'abc'::varchar(5)
'abc'::char(5)
'abc'::char(2)
'abc'::char
'abc'::bpchar
'abc'::name
'abc'::"char"
'abcdef'::varchar(3)||'x'
('ab'::char(5))::text
'ab'::char(5)='ab'
123::varchar
123::varchar(2)
123::char(5)
-- null, bool
null
null::int
null::text
null::numeric(10,2)
true
false
not true
true and null
1=1
1<2
1=1.0
'1'=1
1 is distinct from null
1 between 0 and 2
1.5 in (1,1.5)
2 in (1,2.0)
case when true then 1 else 2.5 end
case when false then 1 end
case when true then 1 else 2::bigint end
case when true then 1.5::float8 else 2 end
-- uuid
'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid
'A0EEBC999C0B4EF8BB6D6BB9BD380A11'::uuid
'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'::uuid
'x'::uuid
'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid::text
'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid='A0EEBC999C0B4EF8BB6D6BB9BD380A11'::uuid
'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid='A0EEBC999C0B4EF8BB6D6BB9BD380A11'
'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid<'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid
null::uuid
-- json
'{"a": 1, "b":[1, 2]}'::json
'{"b": 1, "a":[1, 2]}'::jsonb
'{"a":1,"a":2}'::jsonb
'[1.50, 1e3, "x\u00e9", null, true]'::jsonb
'{}'::jsonb
'  [ ]  '::jsonb
'x'::json
'{"a":}'::jsonb
'1'::json
'"x"'::jsonb
'{"bb":1,"a":2,"c":3}'::jsonb
'{"a": 1}'::json::text
'{"a":1}'::jsonb::text
'{"a":1}'::text::jsonb
'{"a":1}'::jsonb='{"a": 1}'::jsonb
null::json
null::jsonb
-- bytea
'\xdeadbeef'::bytea
'\xDEAD'::bytea
'abc'::bytea
'a\\b\001'::bytea
'\x1'::bytea
'\xzz'::bytea
'\xdead'::bytea||'\xbeef'::bytea
'\xdeadbeef'::bytea::text
'\xab'::bytea='\xab'::bytea
null::bytea
-- arrays
array[1,2,3]
array[1,null,3]
array['a','b,c','d"e',null]
array[1.5,2.25]
array[1,2.5]
array[true,false]
array[]::int[]
'{1,2,3}'::int[]
'{}'::int[]
'{a,"b c",NULL}'::text[]
'{{1,2},{3,4}}'::int[]
array[[1,2],[3,4]]
'{1,x}'::int[]
'1,2'::int[]
'{1.5,2}'::numeric[]
array[1,2]::bigint[]
array[1,2]::text[]
array[1,2]::text
'{1,2}'::int[]::text
array['a','b']::varchar[]
array[1::bigint]
array['2024-01-01'::date]
(array[1,2,3])[2]
('{{1,2},{3,4}}'::int[])[2][1]
array[1,2]=array[1,2]
'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'::uuid[]
-- records
row(1,'a')
row(1,null,2.5)
row(1,'a,b','c"d')
-- oid and catalog types
1::oid
'1'::oid
1::oid::int
4294967295::oid
-- types by name
pg_typeof(1)
pg_typeof(1.5)
pg_typeof('a')
pg_typeof('a'::text)
pg_typeof(null)
pg_typeof(true)
pg_typeof(current_date)
pg_typeof(array[1])
pg_typeof(1::numeric(10,2))
pg_typeof('a'::varchar(3))
pg_typeof('a'::char(3))
pg_typeof('{}'::json)
pg_typeof('{}'::jsonb)
pg_typeof(interval '1 day')
pg_typeof(1::float4)
pg_typeof(time '12:00')
pg_typeof('\x00'::bytea)
pg_typeof(row(1,2))
-- casts that do not exist
'2024-01-01'::date::int
1::uuid
'{}'::json::int
-- aggregates
(select sum(x) from (values (1),(2)) t(x))
(select sum(x) from (values (1::bigint),(9223372036854775807)) t(x))
(select sum(x) from (values (1::smallint),(2::smallint)) t(x))
(select sum(x) from (values (1.5),(2.25)) t(x))
(select sum(x) from (values (1.5::float8),(2.25)) t(x))
(select sum(x) from (values (1.5::float4),(2.25::float4)) t(x))
(select sum(x) from (values (null::int)) t(x))
(select avg(x) from (values (1),(2)) t(x))
(select avg(x) from (values (1),(2),(2)) t(x))
(select avg(x) from (values (1::bigint),(2),(4)) t(x))
(select avg(x) from (values (1.5),(2.25)) t(x))
(select avg(x) from (values (1.5::float8),(2.25)) t(x))
(select avg(x) from (values (1.5::float4),(2.25::float4)) t(x))
(select avg(x) from (values (100),(200),(301)) t(x))
(select avg(x) from (values (0),(0)) t(x))
(select avg(x) from (values (null::int)) t(x))
(select avg(distinct x) from (values (1),(2),(2)) t(x))
(select sum(distinct x) from (values (1),(2),(2)) t(x))
(select avg(x) filter (where x > 1) from (values (1),(2),(4)) t(x))
(select round(avg(x),2) from (values (1),(2),(2)) t(x))
(select count(*) from (values (1),(2)) t(x))
(select min(x) from (values (1.5),(2.25)) t(x))
(select max(x) from (values (1),(2)) t(x))
(select x from (values (1),(2.5)) t(x) limit 1)
(select sum(x) over () from (values (1),(2)) t(x) limit 1)
(select avg(x) over () from (values (1),(2)) t(x) limit 1)
(with recursive t(n) as (select 1 union all select n+1 from t where n < 5) select sum(n) from t)
(select 1 union all select 1 limit 1)
(select 1 union select 2.5 order by 1 limit 1)

row_number() over ()
rank() over (order by 1)
dense_rank() over (order by 1)
ntile(2) over ()
array['a'::varchar]
array['{}'::jsonb]
array['a'::varchar, 'b']
coalesce('{}'::jsonb, '[]')
coalesce(null, '[]'::json)
case when true then '{}'::jsonb end
case when false then '{}'::jsonb else '[1]' end
nullif('{}'::jsonb, '[]'::jsonb)
coalesce(date '2024-01-01', '2024-01-02')
coalesce(null::date, '2024-01-02')
array[date '2024-01-01', '2024-01-02']
greatest(date '2024-01-01', '2024-01-02')
least(interval '1 day', '1 hour')
coalesce('a'::varchar(3), 'b'::varchar(3))
nullif('a'::varchar(3), 'b')
coalesce('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, null)
7 + '7'
'3' - 1
1.5 + '2.25'
'0.125' * 2.5
2.5::float8 * '2'
5 % '3'
1 + '2.5'
array['\x00'::bytea, '\xff']
