"""Files of the package that git, the wheel, the image or the model lacks."""

from tests.contract.breakages.changes import Patch, breaks, in_log_model, new_file

PRICES = new_file("src/weather_agent/prices.csv", "city,price\nOslo,12\n")
CODE = "            code_paths=[str(PACKAGE)],\n"
COPY = "COPY . .\n"
COMMAND = '"serve", "--host", "0.0.0.0"]\n'
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
        r"The wheel lacks src/weather_agent/__init__\.py, .* more files\.",
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
    "an image without the readme": breaks(
        "same-files",
        r"The Dockerfile does not copy README\.md, without which",
        Patch("Dockerfile", COPY, "COPY src ./src\n"),
    ),
    "an image with the Python files alone": breaks(
        "same-files",
        r"The Dockerfile does not copy src/weather_agent/commands/.* more files\.",
        Patch(
            "Dockerfile",
            COPY,
            "COPY README.md ./\nCOPY --chown=10001 \\\n    # The agent\n"
            "    src/weather_agent/*.py src/weather_agent/\n",
        ),
    ),
    "an image that copies a file that was removed": breaks(
        "image",
        r"The Dockerfile copies LICENSE\.md, which does not exist",
        Patch("Dockerfile", COPY, f"{COPY}COPY LICENSE.md /app/\n"),
    ),
    "two files whose names differ only in case": breaks(
        "same-files",
        r"weather_agent/Instructions\.md and weather_agent/instructions\.md differ only in case",
        new_file("src/weather_agent/Instructions.md", "Answer briefly.\n"),
    ),
    "an image with an old Python": breaks(
        "image",
        r"The image has Python 3\.10, but `requires-python` is >=3\.11",
        Patch("Dockerfile", "FROM python:3.12-slim AS base", "FROM python:3.10-slim AS base"),
    ),
    "a module that the Python of the image lacks": breaks(
        "image",
        r"tools\.py imports distutils, which Python 3\.12 of the image lacks",
        Patch(
            "tools.py",
            "from datetime import",
            "from distutils.util import strtobool\nfrom datetime import",
        ),
    ),
    "a server that only its container can reach": breaks(
        "image",
        r"listens on 127\.0\.0\.1, which others cannot reach",
        Patch("Dockerfile", COMMAND, '"serve"]\n'),
    ),
    "an image without docstrings": breaks(
        "image",
        "Python in the image removes docstrings, which describe the tools to the LLM",
        Patch("Dockerfile", "ENV PATH=", "ENV PYTHONOPTIMIZE=2 PATH="),
    ),
    "a server on a port that the image does not expose": breaks(
        "image",
        r"listens on port 8080, but EXPOSE names 8000",
        Patch("Dockerfile", COMMAND, '"serve", "--host=0.0.0.0", "--port=8080"]\n'),
    ),
    "a health check on another port": breaks(
        "image",
        r"listens on port 8080, but HEALTHCHECK names 8000",
        Patch("Dockerfile", "EXPOSE 8000\n", "EXPOSE 8080/tcp\n"),
        Patch("Dockerfile", "ENV PATH=", "ENV DATABRICKS_APP_PORT=8080 PATH="),
    ),
}
