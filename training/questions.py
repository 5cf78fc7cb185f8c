"""The door that recipes and notebooks know: questions are made in `synthetic.questions`."""

from synthetic.questions import Example, conversation, referring

__all__ = ["Example", "conversation", "referring"]
