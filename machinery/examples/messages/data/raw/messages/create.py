"""Writes messages.csv from the file SMSSpamCollection: without repeated texts, and without the lines that are left out.

python data/raw/messages/create.py SMSSpamCollection
"""

import hashlib
import sys
from pathlib import Path

import pandas as pd

SOURCE = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"
# Lines with coarse, sexual or hurtful words, or with a word that has such letters in it, as "class" has.
LEFT_OUT = """
3 6 16 18 26 50 51 57 61 68 72 118 136 140 147 148 175 200 203 236 259 265 287 289 303 312 328 350 353 355 399 408 421 426
433 439 446 459 473 475 476 492 493 495 516 521 531 546 552 553 566 570 630 654 685 713 763 772 773 774 779 795 805 821 822
842 845 847 850 855 857 867 868 869 896 908 911 914 940 945 956 965 970 977 981 985 989 994 998 1015 1023 1026 1036 1037
1039 1042 1043 1049 1056 1064 1065 1066 1099 1129 1155 1159 1171 1181 1183 1195 1200 1219 1236 1254 1255 1261 1264 1268 1270
1297 1302 1322 1327 1351 1353 1354 1356 1359 1361 1367 1375 1393 1417 1431 1454 1457 1459 1464 1467 1487 1488 1501 1503 1514
1529 1552 1569 1571 1580 1603 1622 1634 1638 1647 1661 1663 1664 1684 1710 1728 1742 1743 1744 1774 1782 1805 1816 1820 1831
1847 1848 1869 1873 1876 1885 1886 1888 1894 1896 1905 1914 1916 1938 1940 1941 1955 1962 1971 1976 1980 1992 2000 2024 2048
2054 2060 2066 2072 2079 2091 2100 2106 2120 2128 2146 2158 2159 2165 2178 2180 2186 2188 2207 2208 2212 2223 2227 2237 2249
2265 2295 2327 2357 2371 2377 2379 2385 2390 2396 2403 2405 2447 2482 2496 2546 2558 2576 2588 2591 2633 2664 2670 2696 2706
2744 2813 2831 2846 2847 2864 2877 2878 2880 2906 2922 2927 2931 2948 2956 2961 2964 2996 2998 3003 3015 3049 3060 3070 3079
3098 3129 3130 3134 3142 3148 3150 3176 3182 3184 3187 3212 3224 3232 3257 3259 3260 3268 3293 3300 3308 3330 3383 3384 3431
3437 3454 3461 3468 3501 3520 3524 3529 3539 3544 3549 3563 3567 3588 3622 3625 3633 3642 3647 3664 3669 3671 3677 3686 3688
3696 3704 3726 3739 3746 3751 3775 3779 3780 3789 3791 3794 3822 3852 3867 3906 3971 3977 4006 4029 4035 4068 4090 4108 4109
4111 4126 4128 4134 4135 4148 4184 4186 4201 4203 4207 4241 4249 4255 4256 4269 4292 4295 4296 4308 4319 4341 4355 4356 4370
4378 4424 4437 4464 4476 4492 4500 4504 4511 4516 4520 4528 4533 4535 4543 4546 4560 4573 4580 4602 4604 4622 4635 4640 4684
4705 4714 4715 4742 4751 4764 4787 4803 4811 4822 4826 4858 4868 4871 4900 4915 4930 4932 4933 4939 4950 4953 4965 4978 4992
4995 4997 5007 5019 5084 5085 5101 5106 5117 5134 5142 5183 5192 5227 5272 5356 5367 5387 5390 5405 5416 5441 5446 5456 5462
5488 5528 5530 5540 5541 5543 5545 5549 5562 5573
"""


def create(source: bytes) -> pd.DataFrame:
    """The lines of the source with their numbers, the first of each text; raises ValueError for another source."""
    digest = hashlib.sha256(source).hexdigest()
    if digest != SOURCE:
        raise ValueError(f"another file than the one that was published in 2012: sha256 {digest}, not {SOURCE}")
    return chosen(source.decode("utf-8").splitlines(), {int(number) for number in LEFT_OUT.split()})


def chosen(lines: list[str], left_out: set[int]) -> pd.DataFrame:
    """Number, text and kind of each line (kind, tab, text) whose text is new and whose number is not left out."""
    rows = pd.DataFrame([line.split("\t", 1) for line in lines], columns=["kind", "text"])
    rows.insert(0, "message", range(1, len(rows) + 1))
    rows = rows.drop_duplicates("text")
    return rows.loc[~rows["message"].isin(left_out), ["message", "text", "kind"]].reset_index(drop=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("which file? python data/raw/messages/create.py SMSSpamCollection (doi:10.24432/C5CC84)")
    try:
        messages = create(Path(sys.argv[1]).read_bytes())
    except (OSError, ValueError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    messages.to_csv(Path(__file__).parent / "messages.csv", index=False, lineterminator="\n")
