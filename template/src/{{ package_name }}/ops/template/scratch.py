"""A temporary repository with the objects of the real one, for renderings and trial merges."""

import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..project import ProjectError
from .git import GitError, Identity, git


@dataclass(frozen=True)
class Scratch:
    """A repository that borrows the objects of another one, which stays unchanged.

    Attributes:
        folder: The repository; its working tree is empty at first.
        prefix: The folder of the agent in the repository, such as `agents/weather/`, or empty.
        head: The commit that is checked out in the real repository.
    """

    folder: Path
    prefix: str
    head: str

    def git(self, *arguments: str) -> str:
        """Run git here."""
        return git(self.folder, *arguments)

    def tree_of(self, rendering: Path) -> str:
        """Store the files of a rendering, and return the tree that has them in the prefix."""
        self.git("read-tree", "--empty")
        git_folder = f"--git-dir={self.folder / '.git'}"
        git(rendering, git_folder, f"--work-tree={rendering}", "add", "--all", "--force")
        tree = self.git("write-tree").strip()
        if not self.prefix:
            return tree
        self.git("read-tree", "--empty")
        self.git("read-tree", f"--prefix={self.prefix}", tree)
        return self.git("write-tree").strip()

    def with_files_of(self, tree: str, other: str, paths: Mapping[str, str]) -> str:
        """Return a tree with some files of another one.

        Args:
            tree: The tree.
            other: The tree or the commit with the files.
            paths: The path in `other` for each path to replace in `tree`, from the agent's folder.
        """
        self.git("read-tree", tree)
        for path, source in paths.items():
            entry = self.git("ls-tree", other, "--", self.prefix + source).split()
            if entry and self.git("ls-tree", tree, "--", self.prefix + path):
                information = f"{entry[0]},{entry[2]},{self.prefix}{path}"
                self.git("update-index", "--cacheinfo", information)
        return self.git("write-tree").strip()

    def commit(self, tree: str, message: str, parents: Sequence[str], author: Identity) -> str:
        """Commit a tree, and return the commit."""
        options = [option for parent in parents for option in ("-p", parent)]
        variables = author.variables()
        command = ("commit-tree", tree, *options, "-m", message)
        return git(self.folder, *command, variables=variables).strip()


@contextmanager
def scratch_repository(root: Path) -> Generator[Scratch]:
    """Create a repository that borrows the objects of the one at `root`, and delete it afterwards.

    Args:
        root: The folder of the agent.

    Raises:
        ProjectError: It is not in a repository with a commit.
    """
    try:
        head = git(root, "rev-parse", "--verify", "HEAD").strip()
    except GitError as error:
        raise ProjectError(
            f"{root} has no commit in git, so nothing could be merged or undone. Run `git init`, "
            "`git add --all` and `git commit`."
        ) from error
    prefix = git(root, "rev-parse", "--show-prefix").strip()
    objects = Path(root, git(root, "rev-parse", "--git-path", "objects").strip()).resolve()
    temporary = Path(tempfile.mkdtemp(prefix="template-"))
    try:
        folder = temporary / "repository"
        object_format = git(root, "rev-parse", "--show-object-format").strip()
        git(temporary, "init", "--quiet", f"--object-format={object_format}", str(folder))
        alternates = folder / ".git" / "objects" / "info" / "alternates"
        alternates.write_text(f"{objects}\n", encoding="utf-8")
        shallow = Path(root, git(root, "rev-parse", "--git-path", "shallow").strip())
        if shallow.exists():
            shutil.copy(shallow, folder / ".git" / "shallow")
        yield Scratch(folder, prefix, head)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
