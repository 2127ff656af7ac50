"""The questions of a batch that Spark reads."""

from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as fn

from ..project import ProjectError
from .questions import check_columns
from .spark_outputs import quoted
from .tables import FORMATS, parse_row

ID_TYPES = ("string", "bigint", "int", "smallint", "tinyint")
CSV_OPTIONS = {"header": True, "multiLine": True, "escape": '"', "mode": "FAILFAST"}


def to_questions(source: DataFrame, names: Mapping[str, str]) -> DataFrame:
    """Select the columns that a batch reads, under their names in a batch, with the ids as text.

    Raises:
        ProjectError: A column is missing, or the ids are not texts or integers.
    """
    check_columns(names, source.columns)
    id_type = source.schema[names["id"]].dataType.simpleString()
    if id_type not in ID_TYPES:
        raise ProjectError(
            f"The ids in the column {names['id']!r} have the type {id_type}. Convert them to texts "
            "or integers."
        )
    fields = {one: fn.col(f"`{name}`") for one, name in names.items() if name in source.columns}
    fields["id"] = fields["id"].cast("string")
    return source.select([field.alias(column) for column, field in fields.items()])


def read_source(
    spark: SparkSession, source: str, names: Mapping[str, str], *, is_on_cluster: bool
) -> DataFrame:
    """Read the input: files by their path, or on a cluster also a table by its name."""
    suffix = Path(source).suffix
    if is_on_cluster and "/" not in source and suffix not in FORMATS:
        return spark.table(quoted(source))
    if (Path(source) / "_delta_log").is_dir():
        return spark.read.format("delta").load(source)
    match FORMATS.get(suffix, "parquet"):
        case "csv":
            return spark.read.options(**CSV_OPTIONS).csv(source)
        case "json":
            return _read_json_lines(spark, source, names)
    return spark.read.parquet(source)


def _read_json_lines(spark: SparkSession, path: str, names: Mapping[str, str]) -> DataFrame:
    """Read some fields of JSON lines as texts; those of nested values are JSON."""
    first = spark.read.text(path).filter("value rlike '\\\\S'").first()
    try:
        keys = parse_row(first["value"]) if first else {}
    except ValueError as error:
        raise ProjectError(f"Cannot read {path}: the first line is invalid: {error}.") from error
    check_columns(names, keys)
    schema = ", ".join(f"`{name}` string" for name in names.values())
    return spark.read.json(path, schema=schema, mode="FAILFAST")
