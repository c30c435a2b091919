"""What the page does: each action, from its button to what it leaves in the cache."""

from __future__ import annotations

from browsing import PAGE, Sight, browser, open_port, watched, window
from caches import WEIGHTS, Cache, model_files
from catalogue import proof
from ground import ORG, Ground

NAME = f"{ORG}/model"


def ask_for(sight: Sight, **fields: str) -> None:
    """Fills in the form."""
    form = sight.page.locator("#fetch-form")
    if not form.is_visible():
        sight.page.get_by_text("Get a model from the Hub").click()
    for label, text in fields.items():
        form.get_by_label(label.replace("_", " ")).fill(text)


def show(sight: Sight) -> None:
    sight.page.locator("#repo-table").get_by_role("button", name=f"model/{NAME}").click()


@proof(PAGE)
def page_actions(ground: Ground) -> None:
    """Preview, download, cancel, retry, verify, repair and delete, each by its button."""
    cache = Cache(ground, ground.place() / "cache")
    cache.model(f"{ORG}/resident")
    files = model_files("acted", 8)
    commit = cache.publish(NAME, files)
    policy = ground.policy(f"mode: observe\ncontrol: {{allow-fetch: true}}\ncaches: [{{path: {cache.path}}}]\n")
    daemon = watched(ground, cache, policy)
    faults = ground.servers.faults
    with browser(ground) as running, open_port(ground, daemon) as url, window(ground, running, "actions") as sight:
        page = sight.page
        sight.goto(url)

        ask_for(sight, Repo=NAME)
        page.get_by_role("button", name="Preview").click()
        sight.await_text("#preview", "LlamaForCausalLM")
        sight.await_text("#preview", "Fits on disk")
        sight.picture("preview")

        # A download that stops half-way, seen as it goes, and cancelled: nothing is left of it.
        held = faults.add(sight_fault("hold", after=3_000_000))
        page.get_by_role("button", name="Download").click()
        bar = page.get_by_role("progressbar", name=f"Progress of {NAME}")
        bar.wait_for()
        sight.await_text("#transfer-list", " of 8.")
        sight.is_accessible("while it downloads")
        sight.picture("downloading")
        page.get_by_role("button", name=f"Cancel {NAME}").first.click()
        sight.await_text("#messages", "cancelled")
        sight.await_text("#transfer-list", "download cancelled")
        faults.release(held.id)
        faults.remove()
        daemon.until(lambda: not cache.has(NAME, commit), "what was cancelled is gone")

        # One that fails says why, and is tried again.
        faults.add(sight_fault("status", status=404, path="*resolve*safetensors"))
        page.get_by_role("button", name="Download").click()
        retry = page.get_by_role("button", name=f"Retry {NAME}")
        if retry.first.is_visible() or retry_comes(sight):
            faults.remove()
            retry.first.click()
        else:
            faults.remove()
            page.get_by_role("button", name="Download").click()
        daemon.until(lambda: not cache.is_whole(NAME, commit), "the download is whole")
        sight.await_text("#repo-table", f"model/{NAME}")

        show(sight)
        page.get_by_role("button", name=f"Verify every byte model/{NAME}").click()
        sight.await_text("#messages", "1 complete")

        # What breaks is told by itself, and mended by a button.
        blob = cache.blob(NAME, commit)
        blob.unlink()
        sight.await_text("#finding-list", WEIGHTS)
        sight.await_text("#repo-detail", "partial")
        page.locator("#finding-list").get_by_role("button", name=f"Repair model/{NAME}").click()
        daemon.until(lambda: not cache.is_whole(NAME, commit), "the repair is done")
        sight.await_text("#finding-list", "Nothing is wrong.")

        # Somebody who has it open keeps it; the dialog says so before anybody tries.
        with blob.open("rb"):
            page.get_by_role("button", name=f"Delete … model/{NAME}").click()
            sight.await_text("#delete-text", "It stays, because of")
            sight.check(page.locator("#delete-yes").is_disabled(), "what is in use can be deleted")
            sight.picture("in-use")
            page.get_by_role("button", name="Keep it").click()
        page.get_by_role("button", name=f"Delete … model/{NAME}").click()
        sight.await_text("#delete-text", "This frees")
        sight.await_text("#delete-yes", "Delete, and free")
        page.locator("#delete-yes").click()
        daemon.until(lambda: not cache.has(NAME, commit), "what was deleted is gone")
        sight.await_text("#messages", "deleted")
        page.locator("#repo-table").get_by_role("button", name=f"model/{NAME}").wait_for(state="detached")
        sight.check(page.locator("#repo-detail").is_hidden(), "what is gone is still shown")
        ground.equal(cache.has(f"{ORG}/resident", ground.hub.repo("model", f"{ORG}/resident").resolve("main")), True, "the other")
        sight.check(not page.evaluate("document.body.innerText.includes('hf_')"), "a token is on the page")
    daemon.stop()


def sight_fault(kind: str, **settings: object) -> object:
    from hub_stand_in import Fault

    return Fault(kind=kind, **settings)  # type: ignore[arg-type]


def retry_comes(sight: Sight) -> bool:
    try:
        sight.page.get_by_role("button", name=f"Retry {NAME}").first.wait_for(timeout=20_000)
    except Exception:  # noqa: BLE001  the request itself was refused
        return False
    return True
