# test_https.py - the page where both listeners end TLS themselves. SPDX-License-Identifier: Apache-2.0
import pytest
from secured import Certificates

from conftest import WEB
from stack import free_port


@pytest.fixture
def site(stack, tmp_path):
    files, api_port, notify_port = Certificates(str(tmp_path)), free_port(), free_port()
    url, notify_url = f"https://127.0.0.1:{api_port}", f"https://127.0.0.1:{notify_port}"
    tools = [stack.tool("vote-notify", "--listen", f"127.0.0.1:{notify_port}", "--cors-origins", url, *files.flags),
             stack.ingest(api_port, "--web-root", WEB, "--notify-url", notify_url, "--dev-tokens", *files.flags)]
    for tool in tools:
        tool.start()
    yield url
    assert [tool.stop() for tool in tools] == [0, 0]


def test_a_click_reaches_another_browser_over_tls_alone(stack, site, project, open_page):
    """The browsers do not know who has signed the certificate; that it must be somebody known is tested by other clients."""
    one, two = (open_page(url=site + "/", ignoreHTTPSErrors=True) for _ in range(2))
    one.press(project, "up")
    for page in (one, two):
        page.wait(project, count="1")
    requests = [url for page in (one, two) for url in page.do("record")["requests"]]
    assert {url.partition(":")[0] for url in requests} <= {"https", "wss", "data"} and any(url.startswith("wss:") for url in requests)
