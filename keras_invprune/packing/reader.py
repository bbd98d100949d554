"""Numbers of any size as bytes, and reading that never leaves the file."""

from keras_invprune.packing.errors import PackError

LONGEST = 9  # bytes of a number: up to 2**63


def varint(number: int) -> bytes:
    """Return a whole number as bytes: 7 bits each, the lowest first.

    The highest bit of a byte tells that another one follows.
    """
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


class Reader:
    """Reads a file from its beginning to its end.

    Args:
        content: The bytes, which are not copied as a whole.
    """

    def __init__(self, content: bytes | memoryview):
        self._content, self._at = memoryview(content), 0

    def take(self, count: int) -> bytes:
        """Return the next bytes.

        Raises:
            PackError: If there are fewer.
        """
        found = bytes(self._content[self._at : self._at + count])
        if len(found) < count:
            raise PackError(
                f"The file ends too early: {count} bytes should follow at byte "
                f"{self._at}, and {len(found)} do. Copy or download it again."
            )
        self._at += count
        return found

    def varint(self) -> int:
        """Return the next whole number.

        Raises:
            PackError: If it has more than 63 bits, or the file ends.
        """
        number = 0
        for place in range(LONGEST):
            byte = self.take(1)[0]
            number |= (byte & 127) << 7 * place
            if byte < 128:
                return number
        raise PackError(f"The number that ends at byte {self._at} is too long.")

    def rest(self) -> memoryview:
        """Return all bytes that are left, without copying them."""
        start, self._at = self._at, len(self._content)
        return self._content[start:]
