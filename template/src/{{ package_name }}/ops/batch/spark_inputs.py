"""The questions of a batch that Spark reads."""

from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as fn

from ..project import ProjectError
from .columns import COLUMNS, check_columns
from .spark_code import in_worker
from .spark_outputs import quoted
from .tables import FORMATS, open_table, parse_row

ID_TYPES = ("string", "bigint", "int", "smallint", "tinyint")
PARSED_TYPES = ", ".join(f"{column} string" for column in (*COLUMNS, "problem"))
CSV_OPTIONS = {"header": True, "multiLine": True, "escape": '"', "mode": "FAILFAST"}


def read_questions(
    spark: SparkSession, source: str, names: Mapping[str, str], *, is_on_cluster: bool
) -> DataFrame:
    """Read the input, with the names that the columns have in a batch, and the ids as strings.

    Args:
        spark: The session.
        source: The path of a file or folder; on a cluster also the name of a table.
        names: The names of the columns in the input.
        is_on_cluster: Whether the workers may be on other machines.

    Raises:
        ProjectError: A column is missing, or the ids are not strings or integers.
    """
    path, kind = Path(source), FORMATS.get(Path(source).suffix)
    if kind in ("csv", "json") and path.is_file() and not is_on_cluster:
        # Spark does not number the lines, and accepts a quote that is never closed.
        check_columns(names, open_table(path).columns)
    if kind == "json":
        return _read_json_lines(spark, source, names)
    return _to_questions(_read_table(spark, source, is_on_cluster=is_on_cluster), names)


def _to_questions(source: DataFrame, names: Mapping[str, str]) -> DataFrame:
    """Select the columns that a batch reads, under their names in a batch, with the ids as strings.

    Raises:
        ProjectError: A column is missing, or the ids are not strings or integers.
    """
    check_columns(names, source.columns)
    id_type = source.schema[names["id"]].dataType.simpleString()
    if id_type not in ID_TYPES:
        raise ProjectError(
            f"The ids in the column {names['id']!r} have the type {id_type}. Convert them to "
            "strings or integers."
        )
    fields = {one: fn.col(f"`{name}`") for one, name in names.items() if name in source.columns}
    fields["id"] = fields["id"].cast("string")
    return source.select([field.alias(column) for column, field in fields.items()])


def _read_table(spark: SparkSession, source: str, *, is_on_cluster: bool) -> DataFrame:
    suffix = Path(source).suffix
    if is_on_cluster and "/" not in source and suffix not in FORMATS:
        return spark.table(quoted(source))
    if (Path(source) / "_delta_log").is_dir():
        return spark.read.format("delta").load(source)
    if FORMATS.get(suffix) == "csv":
        return spark.read.options(**CSV_OPTIONS).csv(source)
    return spark.read.parquet(source)


def _read_json_lines(spark: SparkSession, path: str, names: Mapping[str, str]) -> DataFrame:
    lines = spark.read.text(path).filter("value rlike '\\\\S'")
    first = lines.first()
    try:
        keys = parse_row(first["value"].removeprefix("\ufeff")) if first else {}
    except ValueError as error:
        raise ProjectError(f"Cannot read {path}: the first line is invalid: {error}.") from error
    check_columns(names, keys, is_complete=False)
    return lines.mapInArrow(in_worker("lines.LineParser", dict(names)), PARSED_TYPES)
