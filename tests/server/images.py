"""Builds and runs images without a container engine.

The Python of the tests replaces the base image, and a folder replaces `/`: the paths /app and /tmp
in the Dockerfile become folders in it.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from docker.utils import exclude_paths

# The package indexes and caches of uv and pip; a container engine has a network of its own.
_INDEX_VARIABLES = re.compile(r"(UV|PIP)_\w*(INDEX|CACHE|CONFIG|CERT|LINKS)\w*|SSL_CERT_\w+")
_OPTION = re.compile(r"--[\w-]+=(\S+) +")


@dataclass(frozen=True)
class Instruction:
    """An instruction of a Dockerfile; in `COPY --from=build /app /app` the option is `build`."""

    name: str
    option: str
    value: str


@dataclass
class Image:
    """The files of an image, and how to run it."""

    root: Path
    variables: dict[str, str]
    folder: str = "/"
    user: str = "0:0"
    command: list[str] = field(default_factory=list)
    health_command: list[str] = field(default_factory=list)

    def localized(self, text: str) -> str:
        """Replace the paths of the image in a text with their paths on this machine."""
        return re.sub(r"(?<![\w.])/(app|tmp)\b", rf"{self.root}/\1", text)

    def path(self, name: str) -> Path:
        """Return the path on this machine of a path in the image."""
        return self.root / str(Path(self.folder, name)).lstrip("/")

    def start(self, command: list[str], stderr: int | None = None) -> subprocess.Popen[bytes]:
        """Run a command as the image's user; without root permissions, as the current user."""
        switch = switch_to(*self.user.split(":")) if os.geteuid() == 0 else []
        return subprocess.Popen(
            [*switch, *command], cwd=self.path("."), env=self.variables, stderr=stderr
        )


class Build:
    """Runs the stages of a Dockerfile, one after the other in the same folder.

    A virtual environment cannot be moved, so each stage is built at the path of the image, and
    moved away when the next one starts.
    """

    def __init__(self, project: Path, folder: Path) -> None:
        self.folder = folder
        self.stages: dict[str, Image] = {}
        self.image = Image(folder / "image", {"PATH": f"{folder}/python/bin"})
        subprocess.run(["uv", "venv", "--quiet", "--seed", folder / "python"], check=True)
        self.context = folder / "context"
        copy_context(project, self.context)

    def execute(self, instruction: Instruction) -> None:
        """Execute one instruction."""
        image = self.image
        match instruction.name:
            case "FROM":
                self.start_stage(*instruction.value.split(" AS "))
            case "WORKDIR":
                image.folder = instruction.value
                image.path(".").mkdir(exist_ok=True)
            case "ENV":
                for word in shlex.split(image.localized(instruction.value)):
                    name, _, value = word.partition("=")
                    image.variables[name] = Template(value).substitute(image.variables)
            case "COPY" if instruction.option:
                self.copy_from_stage(self.stages[instruction.option], *instruction.value.split())
            case "COPY":
                self.copy(*instruction.value.split())
            case "RUN":
                self.run(instruction.value)
            case "USER":
                image.user = instruction.value
            case "HEALTHCHECK":
                image.health_command = json.loads(instruction.value.removeprefix("CMD "))
            case "CMD":
                image.command = json.loads(instruction.value)
            case "EXPOSE":
                pass
            case _:
                raise AssertionError(f"{instruction.name} is not supported.")

    def start_stage(self, parent: str, name: str = "") -> None:
        """Move the last stage away, and start with the base image."""
        if self.image.root.exists():
            self.image.root = self.image.root.rename(self.folder / f"stage-{len(self.stages)}")
        variables = {"PATH": f"{self.folder}/python/bin"}
        self.image = self.stages[name] = Image(self.folder / "image", variables)
        self.image.path("/tmp").mkdir(parents=True)
        self.image.path("/tmp").chmod(0o1777)

    def copy(self, *names: str) -> None:
        """Copy files of the project; the last name is the target."""
        *sources, target = names
        for source in (self.context / name for name in sources):
            if source.is_dir():
                shutil.copytree(source, self.image.path(target), dirs_exist_ok=True)
            else:
                shutil.copy2(source, self.image.path(target))

    def copy_from_stage(self, stage: Image, source: str, target: str) -> None:
        """Copy a folder from another stage; it is large, so it is moved."""
        self.image.path(target).parent.mkdir(parents=True, exist_ok=True)
        stage.path(source).rename(self.image.path(target))

    def run(self, command: str) -> None:
        """Run a command in a shell."""
        variables = {
            name: value for name, value in os.environ.items() if _INDEX_VARIABLES.fullmatch(name)
        }
        variables["HOME"] = os.environ["HOME"]
        # uv creates no environment from another environment.
        variables["UV_PYTHON"] = str((self.folder / "python/bin/python").resolve())
        subprocess.run(
            ["/bin/sh", "-c", self.image.localized(command)],
            cwd=self.image.path("."),
            env=variables | self.image.variables,
            check=True,
            capture_output=True,
            text=True,
        )


def build(project: Path, folder: Path) -> Image:
    """Build the image of a project.

    Args:
        project: The folder with the Dockerfile.
        folder: An empty folder that every user can enter.

    Raises:
        CalledProcessError: A command of the Dockerfile failed; `stderr` has its output.
    """
    builder = Build(project, folder)
    for instruction in instructions((project / "Dockerfile").read_text(encoding="utf-8")):
        builder.execute(instruction)
    return builder.image


def switch_to(user: str, group: str) -> list[str]:
    """Return a command that runs another one as an ordinary user.

    The user may read all files, because the Python of the tests may be in the home of root.
    """
    capabilities = "-all,+dac_read_search"
    return [
        *("/usr/bin/setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"),
        *(
            f"--inh-caps={capabilities}",
            f"--ambient-caps={capabilities}",
            f"--bounding-set={capabilities}",
        ),
    ]


def instructions(dockerfile: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile, in order."""
    lines = re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE).replace("\\\n", "").splitlines()
    parsed = []
    for line in filter(None, lines):
        name, _, value = line.partition(" ")
        option = _OPTION.match(value)
        rest = re.sub(rf"^({_OPTION.pattern})*", "", value)
        parsed.append(Instruction(name, option[1] if option else "", rest))
    return parsed


def copy_context(project: Path, folder: Path) -> None:
    """Copy the build context: the files that `.dockerignore` does not exclude."""
    patterns = (project / ".dockerignore").read_text(encoding="utf-8").splitlines()
    names = exclude_paths(str(project), [line for line in patterns if not line.startswith("#")])
    for name in sorted(names):
        if (project / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, folder / name)
