"""Does what a Dockerfile says without a container engine, so that tests can run what it makes.

The Python of the tests stands for the base image, and a folder for `/`: what the Dockerfile says
of /app and /tmp is done to the folders of these names in there.
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

# Where uv and pip find packages and keep them; a network and a cache that an engine would give.
_GIVEN = re.compile(r"(UV|PIP)_\w*(INDEX|CACHE|CONFIG|CERT|LINKS)\w*|SSL_CERT_\w+")
_OPTION = re.compile(r"--[\w-]+=(\S+) +")


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile; of `COPY --from=build /app /app` the option is `build`."""

    name: str
    option: str
    value: str


@dataclass
class Image:
    """Files, and how they are run."""

    root: Path
    variables: dict[str, str]
    folder: str = "/"
    user: str = "0:0"
    command: list[str] = field(default_factory=list)
    health_command: list[str] = field(default_factory=list)

    def inside(self, text: str) -> str:
        """A text that names folders of the image, with the paths that they have here."""
        return re.sub(r"(?<![\w.])/(app|tmp)\b", rf"{self.root}/\1", text)

    def path(self, name: str) -> Path:
        """Where a file is that the image knows by this name."""
        return self.root / str(Path(self.folder, name)).lstrip("/")

    def start(self, command: list[str], stderr: int | None = None) -> subprocess.Popen[bytes]:
        """Run a command as the image's user; whoever is not root runs it as who they are."""
        switch = switch_to(*self.user.split(":")) if os.geteuid() == 0 else []
        return subprocess.Popen(
            [*switch, *command], cwd=self.path("."), env=self.variables, stderr=stderr
        )


class Build:
    """The stages of a Dockerfile, one after the other in the same folder.

    An environment does not survive a move, so each stage is made where the image will be, and
    set aside when the next one begins.
    """

    def __init__(self, project: Path, folder: Path) -> None:
        self.folder = folder
        self.stages: dict[str, Image] = {}
        self.image = Image(folder / "image", {"PATH": f"{folder}/python/bin"})
        subprocess.run(["uv", "venv", "--quiet", "--seed", folder / "python"], check=True)
        self.context = folder / "context"
        copy_context(project, self.context)

    def do(self, one: Instruction) -> None:
        """Do what one instruction says."""
        image = self.image
        match one.name:
            case "FROM":
                self.begin_stage(*one.value.split(" AS "))
            case "WORKDIR":
                image.folder = one.value
                image.path(".").mkdir(exist_ok=True)
            case "ENV":
                for word in shlex.split(image.inside(one.value)):
                    name, _, value = word.partition("=")
                    image.variables[name] = Template(value).substitute(image.variables)
            case "COPY" if one.option:
                self.take_over(self.stages[one.option], *one.value.split())
            case "COPY":
                self.copy(*one.value.split())
            case "RUN":
                self.run(one.value)
            case "USER":
                image.user = one.value
            case "HEALTHCHECK":
                image.health_command = json.loads(one.value.removeprefix("CMD "))
            case "CMD":
                image.command = json.loads(one.value)
            case "EXPOSE":
                pass
            case _:
                raise AssertionError(f"{one.name} is not known here.")

    def begin_stage(self, parent: str, name: str = "") -> None:
        """Set the last stage aside, and begin with nothing but the base image."""
        if self.image.root.exists():
            self.image.root = self.image.root.rename(self.folder / f"stage-{len(self.stages)}")
        variables = {"PATH": f"{self.folder}/python/bin"}
        self.image = self.stages[name] = Image(self.folder / "image", variables)
        self.image.path("/tmp").mkdir(parents=True)
        self.image.path("/tmp").chmod(0o1777)

    def copy(self, *names: str) -> None:
        """Copy files of the project, or all of it; the last name says to where."""
        *sources, target = names
        for source in (self.context / name for name in sources):
            if source.is_dir():
                shutil.copytree(source, self.image.path(target), dirs_exist_ok=True)
            else:
                shutil.copy2(source, self.image.path(target))

    def take_over(self, stage: Image, source: str, target: str) -> None:
        """Take a folder from another stage; it is large, so it is moved and not copied."""
        self.image.path(target).parent.mkdir(parents=True, exist_ok=True)
        stage.path(source).rename(self.image.path(target))

    def run(self, command: str) -> None:
        """Run a command in a shell."""
        given = {name: value for name, value in os.environ.items() if _GIVEN.fullmatch(name)}
        given["HOME"] = os.environ["HOME"]
        # uv bases no environment on that of another one.
        given["UV_PYTHON"] = str((self.folder / "python/bin/python").resolve())
        subprocess.run(
            ["/bin/sh", "-c", self.image.inside(command)],
            cwd=self.image.path("."),
            env=given | self.image.variables,
            check=True,
            capture_output=True,
            text=True,
        )


def build(project: Path, folder: Path) -> Image:
    """Make what the Dockerfile of a project describes.

    Args:
        project: The folder with the Dockerfile.
        folder: Where it is made; everybody may enter it.

    Raises:
        CalledProcessError: a command of the Dockerfile failed; `stderr` says why.
    """
    making = Build(project, folder)
    for one in instructions((project / "Dockerfile").read_text(encoding="utf-8")):
        making.do(one)
    return making.image


def switch_to(user: str, group: str) -> list[str]:
    """A command that runs another one as a user who may write no more than any other.

    They may read everything, as the Python of the tests may be in the home of root.
    """
    kept = "-all,+dac_read_search"
    return [
        *("/usr/bin/setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"),
        *(f"--inh-caps={kept}", f"--ambient-caps={kept}", f"--bounding-set={kept}"),
    ]


def instructions(dockerfile: str) -> list[Instruction]:
    """What a Dockerfile says, in order."""
    lines = re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE).replace("\\\n", "").splitlines()
    found = []
    for line in filter(None, lines):
        name, _, value = line.partition(" ")
        option = _OPTION.match(value)
        rest = re.sub(rf"^({_OPTION.pattern})*", "", value)
        found.append(Instruction(name, option[1] if option else "", rest))
    return found


def copy_context(project: Path, folder: Path) -> None:
    """Copy what `.dockerignore` lets through, as Docker's own client would send it."""
    patterns = (project / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = exclude_paths(str(project), [line for line in patterns if not line.startswith("#")])
    for name in sorted(sent):
        if (project / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, folder / name)
