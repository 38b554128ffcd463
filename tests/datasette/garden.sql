-- A garden, for datasette: 1,234 rows in each table.

-- The height has eight values, null is one of them, and no index: see the notes in `datasette.rs`.
create table plants (id integer primary key, name text not null, height integer);
with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < 1234)
insert into plants select n, 'plant "' || n || '" – ½ 💧', nullif(n % 8, 7) from numbers;

-- The key is of two columns, one of them with everything in it that a token could trip over.
create table readings (station text, day integer, value real not null, primary key (station, day));
with recursive numbers(n) as (select 0 union all select n + 1 from numbers where n < 1233)
insert into readings select 'a,b/~ %2C&+é#' || (n % 5), n / 5, n / 8.0 from numbers;

create table stations (name text primary key);
insert into stations select distinct station from readings;
