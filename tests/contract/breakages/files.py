"""Files of the package that git, the wheel, the image or the model lacks."""

from tests.contract.breakages.changes import Patch, breaks, in_log_model, new_file

PRICES = new_file("src/weather_agent/prices.csv", "city,price\nOslo,12\n")
CODE = "            code_paths=[str(PACKAGE)],\n"
WHEEL = 'packages = ["src/weather_agent"]\n'

FILES = {
    "data that .gitignore excludes": breaks(
        "same-files",
        r"Git ignores src/weather_agent/prices\.csv",
        PRICES,
        Patch(".gitignore", ".venv/\n", ".venv/\n*.csv\n"),
    ),
    "a .gitignore in the package": breaks(
        "same-files",
        r"Git ignores src/weather_agent/prices\.csv",
        PRICES,
        new_file("src/weather_agent/.gitignore", "*.csv\n"),
    ),
    "data excluded from the wheel": breaks(
        "same-files",
        r"The wheel lacks src/weather_agent/prices\.csv",
        PRICES,
        Patch("pyproject.toml", WHEEL, f'{WHEEL}exclude = ["*.csv"]\n'),
    ),
    "a pointer of Git LFS instead of data": breaks(
        "same-files",
        r"pointers of Git LFS instead of data: weather_agent/prices\.csv",
        new_file(
            "src/weather_agent/prices.csv",
            "version https://git-lfs.github.com/spec/v1\n"
            "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
            "size 12345\n",
        ),
    ),
    "only the Python files in the wheel": breaks(
        "same-files",
        r"The wheel lacks .*src/weather_agent/instructions\.md",
        Patch("pyproject.toml", WHEEL, 'only-include = ["src/weather_agent/commands"]\n'),
    ),
    "the instructions excluded from the image": breaks(
        "same-files",
        r"\.dockerignore excludes src/weather_agent/instructions\.md",
        Patch(".dockerignore", "**/__pycache__\n", "**/__pycache__\n**/*.md\n"),
    ),
    "only Python files in the image": breaks(
        "same-files",
        r"\.dockerignore excludes .*src/weather_agent/config\.yml",
        Patch(".dockerignore", "!src\n", "!src/**/*.py\n"),
    ),
    "the readme excluded from the image": breaks(
        "same-files",
        r"\.dockerignore excludes README\.md, without which the image cannot be built",
        Patch(".dockerignore", "!README.md\n", ""),
    ),
    "a readme in a folder that the image lacks": breaks(
        "same-files",
        r"\.dockerignore excludes docs/serving\.md",
        Patch("pyproject.toml", 'readme = "README.md"', 'readme = "docs/serving.md"'),
    ),
    "the lock file excluded from the image": breaks(
        "same-files",
        r"\.dockerignore excludes uv\.lock",
        Patch(".dockerignore", "!uv.lock\n", ""),
    ),
    "a model without the data of the package": breaks(
        "same-files",
        r"The model lacks src/weather_agent/prices\.csv",
        PRICES,
        in_log_model(CODE, "            code_paths=[without_data(PACKAGE)],\n"),
        in_log_model(
            "def log_agent(",
            """def without_data(package):
    import shutil
    import tempfile

    copy = f"{tempfile.mkdtemp()}/{package.name}"
    return shutil.copytree(package, copy, ignore=shutil.ignore_patterns("*.csv"))


def log_agent(""",
        ),
    ),
}
