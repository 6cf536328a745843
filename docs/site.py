"""A hook of mkdocs: documents from outside this folder become pages, and links follow them."""

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
# Where a document stands in the tree, and as which page of the site.
PAGES = {
    "README.md": "README.md",
    "CONTRIBUTING.md": "contributing.md",
    "config/README.md": "config.md",
    "resources/markers/README.md": "markers.md",
}
# What pages link to and is no page.
FILES = {"config/samples.tsv": "samples.tsv"}


def on_files(files, config):
    """Add the documents, and the files that they link to."""
    for source, page in (PAGES | FILES).items():
        content = (ROOT / source).read_text()
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links as they are in the tree become links of the site."""
    of_page = {page: source for source, page in (PAGES | FILES).items()}
    places = PAGES | FILES
    own = page.file.src_uri
    folder = PurePosixPath(of_page.get(own, f"docs/{own}")).parent

    def follow(match):
        link, anchor = match[1], match[2] or ""
        if re.match(r"\w+:", link):
            return match[0]
        target = normpath(str(folder / link))
        found = places.get(target, target.removeprefix("docs/"))
        return f"]({relpath(found, PurePosixPath(own).parent)}{anchor})"

    return re.sub(r"\]\(([^)#\s]+)(#[^)]*)?\)", follow, markdown)
