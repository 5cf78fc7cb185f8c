"""What needs Java: Stanford's tokeniser and METEOR, from the jars that the package `pycocoevalcap` carries."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import EvaluationError

TIMEOUT_S = 3600
METEOR_OPTIONS = ("-", "-", "-stdio", "-l", "en", "-norm")
METEOR_ENDED = "METEOR ended before its answer; it needs Java 8 or later and 2 GB of memory. Or score with --no-java"
METEOR_JAR, TOKENISER_JAR = "meteor/meteor-1.5.jar", "tokenizer/stanford-corenlp-3.4.1.jar"
WITHOUT = "install a Java of version 8 or later, or score without it: --no-java"
# Tokens that the original drops.
PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)


@dataclass
class Java:
    """The program and the folder with both jars."""

    program: str
    folder: Path
    _meteor: subprocess.Popen[str] | None = field(default=None, repr=False)

    @classmethod
    def find(cls) -> Java | str:
        """What is there, or in words what is missing and how to get it."""
        program = shutil.which("java")
        if program is None:
            return "no Java; apt-get install default-jre-headless"
        spec = importlib.util.find_spec("pycocoevalcap")
        places = list(spec.submodule_search_locations or ()) if spec else []
        folder = Path(places[0]) if places else Path()
        if not places or not all((folder / jar).is_file() for jar in (METEOR_JAR, TOKENISER_JAR)):
            return "no METEOR; pip install '.[eval]'"
        return cls(program, folder)

    def tokenise(self, texts: Sequence[str]) -> list[str]:
        """Lower-case tokens of each text separated by spaces, without punctuation (Penn Treebank's rules)."""
        lines = "\n".join(text.replace("\n", " ") for text in texts)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "captions.txt"
            path.write_text(lines, encoding="utf-8")
            jar = self.folder / TOKENISER_JAR
            tool = "edu.stanford.nlp.process.PTBTokenizer"
            told = self._run("-cp", str(jar), tool, "-preserveLines", "-lowerCase", str(path))
        found = told.split("\n")
        if not len(texts) <= len(found) <= len(texts) + 1:
            told = f"the tokeniser gave {len(found)} lines for {len(texts)} captions"
            raise EvaluationError(f"{told}; remove line breaks from them")
        return [
            " ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATION)
            for line in found[: len(texts)]
        ]

    def _run(self, *arguments: str) -> str:
        """Standard output; EvaluationError with the last line of standard error where the program fails."""
        command = [self.program, "-Dfile.encoding=UTF-8", *arguments]
        try:
            done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EvaluationError(f"java={self.program!r} does not run ({error}); {WITHOUT}") from None
        if done.returncode:
            last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"])[-1]
            raise EvaluationError(f"java={self.program!r} failed ({last}); {WITHOUT}")
        return done.stdout.decode("utf-8", "replace")

    def meteor(self, references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> tuple[float, list[float]]:
        """METEOR 1.5 of tokenised captions: of all statistics together, and of each image. 0..1.

        One process answers every call: it loads its tables for seconds.
        """
        statistics = [
            self._say(" ||| ".join(("SCORE", *texts, text.replace("|||", "").replace("  ", " "))))
            for texts, text in zip(references, hypotheses, strict=True)
        ]
        first = self._say(" ||| ".join(("EVAL", *statistics)))
        values = [_value(line) for line in [first, *(self._hear() for _ in statistics)]]
        return values[-1], values[:-1]

    def _say(self, line: str) -> str:
        """Send one line; the line that comes back."""
        if self._meteor is None:
            jar = self.folder / METEOR_JAR
            command = [self.program, "-Dfile.encoding=UTF-8", "-Xmx2G", "-jar", str(jar), *METEOR_OPTIONS]
            self._meteor = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                cwd=jar.parent,
            )
        assert self._meteor.stdin is not None
        try:
            self._meteor.stdin.write(" ".join(line.split("\n")) + "\n")
            self._meteor.stdin.flush()
        except OSError:
            raise EvaluationError(METEOR_ENDED) from None
        return self._hear()

    def _hear(self) -> str:
        assert self._meteor is not None
        assert self._meteor.stdout is not None
        line = self._meteor.stdout.readline()
        if not line:
            raise EvaluationError(METEOR_ENDED)
        return line.strip()

    def close(self) -> None:
        """End METEOR's process, if one was started."""
        if self._meteor is not None:
            self._meteor.kill()
            self._meteor.communicate()
            self._meteor = None


def _value(line: str) -> float:
    try:
        return float(line)
    except ValueError:
        raise EvaluationError(f"METEOR gave {line[:80]!r} for a value; check the captions for '|||'") from None
