"""What a visitor does and sees in a tab of the browser that shows the page."""

import time


def upload(tab, name, content):
    file = {'name': name, 'mimeType': 'image/png', 'buffer': content}
    tab.set_input_files('#drop input[type=file]', files=file)


def status(tab, text):
    tab.wait_for_function('text => document.querySelector("#status").innerText.includes(text)', arg=text)


def toast(tab):
    """The text of a message in the corner; it is then closed."""
    message = tab.wait_for_selector('.toast-body').inner_text()
    tab.click('.toast-close')
    tab.wait_for_selector('.toast-body', state='detached')
    return message


def find(tab, text):
    tab.fill('#phrases textarea', text)
    tab.click('#find')


def shown(tab, place='#masks'):
    """The layers that are to be seen, by the names of their words."""
    time.sleep(0.3)  # they fade
    return tab.eval_on_selector_all(
        f'{place} .flmm-layer',
        'all => all.filter(each => getComputedStyle(each).opacity === "1" && each.src).map(each => each.dataset.of)',
    )


def opaque(tab, layer, place='#masks'):
    """How many px of a layer are not transparent, as the browser decodes it."""
    return tab.eval_on_selector(
        f'{place} .flmm-layer[data-of="{layer}"]',
        """async image => {
            await image.decode();
            const [width, height] = [image.naturalWidth, image.naturalHeight];
            const canvas = new OffscreenCanvas(width, height).getContext('2d');
            canvas.drawImage(image, 0, 0);
            return canvas.getImageData(0, 0, width, height).data.filter((value, i) => i % 4 === 3 && value > 0).length;
        }""",
    )
