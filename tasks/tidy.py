"""Text as templates want it."""


def tidy(text: str) -> str:
    """Leaves one blank between words and none at the ends.

    Published texts hold stray blanks, line breaks in the midst of sentences and HTML line breaks.

    Args:
      text: any text.

    Returns:
      For `" Stay  calm.<br />Run."` the text `"Stay calm. Run."`.
    """
    return " ".join(text.replace("<br />", " ").split())
