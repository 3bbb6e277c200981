# Texts of installed Debian packages as plain text: documents, web pages, manuals, programs' messages, lists.
"""What the scripts of this folder read, so that a prompt is the same on every machine that has the package's version."""
import gettext
import gzip
import html.parser
import pathlib
import re
import subprocess
import sys

DOC = pathlib.Path("/usr/share/doc")
JARGON = DOC / "jargon-text/jargon.txt.gz"


class Paragraphs(html.parser.HTMLParser):
    """The text of an HTML page, a paragraph a line, blank lines between them."""

    def __init__(self):
        super().__init__()
        self.parts, self.hidden = [], 0

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in ("head", "script", "style")
        if tag in ("p", "div", "blockquote", "li", "br", "h1", "h2", "h3", "h4"):
            self.parts.append("\n")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("head", "script", "style")

    def handle_data(self, data):
        if not self.hidden:
            self.parts.append(data.replace("\n", " "))

    def text(self):
        lines = (" ".join(line.split()) for line in "".join(self.parts).split("\n"))
        return "\n\n".join(line for line in lines if line) + "\n"


def messages_of(path):
    """A catalogue's translations, the longest first: those are whole paragraphs."""
    with open(path, "rb") as file:
        catalogue = gettext.GNUTranslations(file)._catalog  # no other way to all of them in Python's library
    return "\n\n".join(sorted((text for key, text in catalogue.items() if key), key=lambda t: (-len(t), t))) + "\n"


def text_of(source):
    """The text of a file, by its name's ending, or of what a command (a list) prints."""
    if isinstance(source, list):
        return subprocess.run(source, stdout=subprocess.PIPE, check=True).stdout.decode("utf-8", "replace")
    source = pathlib.Path(source)
    if source.suffix == ".mo":
        return messages_of(source)
    data = source.read_bytes()
    text = (gzip.decompress(data) if source.suffix == ".gz" else data).decode("utf-8", "replace")
    if re.search(r"\.[1-8]\.gz$", source.name):  # a manual's markup: keep its words
        return re.sub(r"^\.\\?\"?.*$|\\f.|\\", "", text, flags=re.M)
    if source.suffix == ".html":
        page = Paragraphs()
        page.feed(text)
        return page.text()
    return text


def text_file(folder, name, source, packages):
    """`name`.txt in `folder` with the text of `source`, made where it isn't there yet; `packages` bring what it reads."""
    out = folder / f"{name}.txt"
    try:
        if not out.exists():
            out.write_text(text_of(source), encoding="utf-8")
    except FileNotFoundError:
        sys.exit(f"{source}: expected the text of a Debian package, got no such file: apt-get install {packages}")
    return out
