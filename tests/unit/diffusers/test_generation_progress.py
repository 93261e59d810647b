import io

from PIL import Image

from gaudi_lab import frontend
from gaudi_lab.diffusers.generation_progress import Preview, arrange


def pictures(number, size=(16, 16)):
    return [Image.new("RGB", size, (200, 0, 0))] * number


def test_a_grid_is_about_square_and_small_pictures_are_enlarged():
    assert arrange(pictures(16)).size == (4 * 100 + 4, 4 * 100 + 4)
    assert arrange(pictures(5)).size == (3 * 100 + 4, 2 * 100 + 4)
    assert arrange(pictures(2, (512, 256)), columns=1).size == (520, 524)


def test_places_of_pictures_to_come_are_kept_free():
    sheet = arrange(pictures(1), total=4)
    assert sheet.size == (204, 204)
    assert sheet.getpixel((50, 50)) == (200, 0, 0)
    assert sheet.getpixel((150, 150)) == (128, 128, 128)


def test_one_display_is_filled_batch_by_batch(monkeypatch):
    shown = []

    class Display:
        def update(self, picture):
            shown.append(("update", Image.open(io.BytesIO(picture.data)).size))

    def display(picture, display_id):
        shown.append(("display", Image.open(io.BytesIO(picture.data)).size))
        return Display()

    monkeypatch.setattr(frontend, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    view = Preview(4)
    view.add(pictures(2))
    view.add(pictures(2))
    assert shown == [("display", (204, 204)), ("update", (204, 204))]


def test_nothing_is_shown_elsewhere(monkeypatch):
    view = Preview(4)
    view.add(pictures(2))
    assert view._display is None
    monkeypatch.setattr(frontend, "in_notebook", lambda: True)
    Preview(4, enabled=False).add(pictures(2))
    Preview(4).add("latents")
