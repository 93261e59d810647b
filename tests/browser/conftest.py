"""A real JupyterLab on this machine, shown in Debian's Chromium. What is missing is named, and skips the tests."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_page import NOTEBOOK, Kernel, Notebook

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def lab_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab with one notebook."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is missing: pip install 'gaudi-lab[notebooks]'")
    root, token = tmp_path_factory.mktemp("lab"), secrets.token_hex(8)
    (root / "panel.ipynb").write_text(NOTEBOOK, encoding="utf-8")
    quiet = root / "settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    port = free_port()
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.root_dir": root,
        "ServerApp.allow_root": True,
        "ServerApp.open_browser": False,
        "IdentityProvider.token": token,
        "LabApp.expose_app_in_browser": True,
    }
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(root / "config"),
        "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(root / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(root / "workspaces"),
        "IPYTHONDIR": str(root / "ipython"),
        "GAUDI_LAB_COMPILER": "replay",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    with (root / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=root)
        try:
            wait_for(f"http://127.0.0.1:{port}/api?token={token}", server, root / "server.log")
            os.environ["GAUDI_LAB_TEST_RUNTIME"] = str(root / "runtime")
            yield f"http://127.0.0.1:{port}/lab/tree/panel.ipynb?token={token}&reset"
        finally:
            server.terminate()
            server.wait(20)


@pytest.fixture(scope="session")
def page(lab_url: str) -> Iterator[object]:
    """A browser window on that notebook."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is missing: pip install 'gaudi-lab[dev]'"
    )
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        pytest.skip("Chromium is missing: apt-get install chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=list(QUIET))
        context = browser.new_context(viewport={"width": 1280, "height": 1400}, reduced_motion="reduce")
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        window = context.new_page()
        window.set_default_timeout(20_000)
        window.goto(lab_url)
        yield window
        browser.close()


@pytest.fixture(scope="session")
def notebook(page) -> Iterator[Notebook]:
    """The notebook, its first cells run, and its kernel from a second client's side."""
    shown = Notebook(page)
    shown.start()
    with Kernel(Path(os.environ["GAUDI_LAB_TEST_RUNTIME"])) as kernel:
        shown.kernel = kernel
        yield shown


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> str:
    """The source of axe-core, fetched by npm once and then kept in pytest's cache."""
    folder = pytestconfig.cache.mkdir("axe")
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("axe-core is missing, and npm to fetch it with: apt-get install npm")
        command = [
            npm,
            "install",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--prefix",
            str(folder),
            "axe-core@4",
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"axe-core is missing, and npm could not fetch it: {done.stderr.strip()[-200:]}")
    return script.read_text(encoding="utf-8")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
