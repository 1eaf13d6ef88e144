"""The part of the Hub's HTTP interface that publishing and loading use, on the loopback interface.

The requests come from the real huggingface_hub: repositories, commits with a parent, regular files
inside them and large ones by the LFS batch protocol, files by revision, the Hub's error codes.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
from collections.abc import Callable
from typing import Any

from hosts import Loopback


class FakeHub(Loopback):
    """`repositories[name]` is a list of commits, (hash, {path: content})."""

    def __init__(self) -> None:
        self.repositories: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.private: set[str] = set()
        self.large: dict[str, bytes] = {}
        self.damage: dict[str, Callable[[bytes], bytes]] = {}  # by file name
        self.refuse: dict[str, int] = {}  # status by the first part of "METHOD /path"
        self.before_commit: Callable[[], None] = lambda: None
        super().__init__(_Handler)

    def create(self, name: str) -> None:
        """A repository as the Hub makes them, with one commit."""
        self.repositories[name] = []
        self.commit(name, {".gitattributes": b"*.h5 filter=lfs\n"})

    def commit(self, name: str, files: dict[str, bytes], *, message: str = "") -> str:
        """A commit after which the repository holds these files."""
        commits = self.repositories[name]
        oid = hashlib.sha1(f"{name} {len(commits)} {message}".encode()).hexdigest()
        commits.append((oid, dict(files)))
        return oid

    def files(self, name: str, revision: str = "main") -> dict[str, bytes] | None:
        """What the repository holds at a revision."""
        commits = self.repositories[name]
        if revision == "main":
            return commits[-1][1]
        return dict(commits).get(revision)


class _Handler(http.server.BaseHTTPRequestHandler):
    @property
    def hub(self) -> FakeHub:
        return self.server.host

    def log_message(self, *arguments: object) -> None:
        """Silent."""

    def _answer(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer_json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _route(self, routes: dict[str, Callable[..., None]]) -> None:
        line = f"{self.command} {self.path}"
        self.hub.requests[line] += 1
        for start, status in self.hub.refuse.items():
            if line.startswith(start):
                self._body()
                return self._answer(status)
        for pattern, handle in routes.items():
            if match := re.fullmatch(pattern, self.path):
                return handle(*match.groups())
        self._body()
        return self._answer(501)

    def do_HEAD(self) -> None:
        self._route({r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)": self._file})

    def do_GET(self) -> None:
        self._route(
            {
                r"/api/models/([^/]+/[^/]+)": self._info,
                r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)": self._file,
            }
        )

    def do_POST(self) -> None:
        self._route(
            {
                r"/api/repos/create": self._create,
                r"/api/validate-yaml": self._validate,
                r"/api/models/([^/]+/[^/]+)/preupload/main": self._preupload,
                r"/api/models/([^/]+/[^/]+)/commit/main": self._commit,
                r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch": self._batch,
            }
        )

    def do_PUT(self) -> None:
        self._route({r"/lfs/([0-9a-f]{64})": self._store})

    def _info(self, name: str) -> None:
        if name not in self.hub.repositories:
            return self._answer(404, X_Error_Code="RepoNotFound")
        oid, files = self.hub.repositories[name][-1]
        siblings = [{"rfilename": path} for path in sorted(files)]
        private = name in self.hub.private
        return self._answer_json({"id": name, "sha": oid, "siblings": siblings, "private": private})

    def _file(self, name: str, revision: str, path: str) -> None:
        if name not in self.hub.repositories:
            return self._answer(404, X_Error_Code="RepoNotFound")
        files = self.hub.files(name, revision)
        if files is None:
            return self._answer(404, X_Error_Code="RevisionNotFound")
        if path not in files:
            return self._answer(404, X_Error_Code="EntryNotFound")
        commits = self.hub.repositories[name]
        oid = revision if len(revision) == 40 else commits[-1][0]
        content = files[path]
        etag = hashlib.sha256(content).hexdigest()
        if self.command == "GET":
            content = self.hub.damage.get(path.rpartition("/")[2], bytes)(content)
        return self._answer(200, content, X_Repo_Commit=oid, ETag=f'"{etag}"')

    def _create(self) -> None:
        wanted = json.loads(self._body())
        name = f"{wanted['organization']}/{wanted['name']}"
        if name in self.hub.repositories:
            return self._answer(409)
        self.hub.create(name)
        if wanted.get("visibility") == "private" or wanted.get("private"):
            self.hub.private.add(name)
        return self._answer_json({"url": f"{self.hub.url}/{name}"})

    def _validate(self) -> None:
        content = json.loads(self._body())["content"]
        if content.startswith("---"):
            return self._answer_json({"warnings": []})
        errors = [{"message": "front matter is missing"}]
        return self._answer(400, json.dumps({"errors": errors}).encode())

    def _preupload(self, name: str) -> None:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".h5") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self._body())["files"]
        ]
        self._answer_json({"files": files})

    def _batch(self, name: str) -> None:
        wanted = json.loads(self._body())["objects"]
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}}
            for one in wanted
        ]
        self._answer_json({"transfer": "basic", "objects": objects})

    def _store(self, oid: str) -> None:
        content = self._body()
        if hashlib.sha256(content).hexdigest() != oid:
            return self._answer(422)
        self.hub.large[oid] = content
        return self._answer(200)

    def _commit(self, name: str) -> None:
        lines = [json.loads(line) for line in self._body().splitlines()]
        self.hub.before_commit()
        head, files = self.hub.repositories[name][-1]
        files = dict(files)
        header = lines[0]["value"]
        if header.get("parentCommit", head) != head:
            return self._answer(412)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            else:
                del files[value["path"]]
        oid = self.hub.commit(name, files, message=header["summary"])
        return self._answer_json(
            {"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid}
        )
