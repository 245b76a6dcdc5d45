"""A plain HTTP client of the simulator, for the tests."""

import requests

from scraping.simulator.server import SimulatorServer

START = 1_790_000_000.0


class Api:
    """Gets a token, adds it and ``raw_json=1``, and never follows redirects."""

    def __init__(self, sim: SimulatorServer, client: str = "tester") -> None:
        self.sim = sim
        self.session = requests.Session()
        self.session.headers["User-Agent"] = "test:lurker:0 (by /u/tester)"
        self.client = client
        self.login()

    def login(self, **form: str) -> dict:
        answer = self.token({"grant_type": "client_credentials"} | form)
        self.session.headers["Authorization"] = f"bearer {answer.json()['access_token']}"
        return answer.json()

    def token(self, form: dict, auth: tuple[str, str] | None = None) -> requests.Response:
        return requests.post(
            f"{self.sim.url}/api/v1/access_token", data=form, auth=auth or (self.client, "secret")
        )

    def raw(self, path: str, **params: object) -> requests.Response:
        return self.session.get(
            self.sim.url + path, params={"raw_json": 1} | params, allow_redirects=False
        )

    def get(self, path: str, **params: object) -> dict:
        answer = self.raw(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def page(self, path: str, **params: object) -> dict:
        return self.get(path, **params)["data"]

    def names(self, path: str, **params: object) -> list[str]:
        return [child["data"]["name"] for child in self.page(path, **params)["children"]]

    def walk(self, path: str, **params: object) -> list[dict]:
        """Every item of a listing, page by page."""
        found: list[dict] = []
        after = None
        while True:
            page = self.page(path, limit=100, **params, **({"after": after} if after else {}))
            found += [child["data"] for child in page["children"]]
            after = page["after"]
            if after is None:
                return found

    def post(self, path: str, **form: object) -> requests.Response:
        return self.session.post(f"{self.sim.url}{path}?raw_json=1", data=form)

    def truth(self, **params: object) -> list[dict]:
        query = "&".join(f"{key}={value}" for key, value in params.items())
        return self.sim.control(f"truth?{query}")["items"]


def live(items: list[dict]) -> set[str]:
    """What listings show, out of the truth."""
    return {item["fullname"] for item in items if item["state"] == "live"}
